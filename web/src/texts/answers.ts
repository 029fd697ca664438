/** Texts of an answer that is shown as what it is. */
export const answer = {
  table: 'Answer',
  yes: 'Yes',
  no: 'No',
  picture: 'Picture that the model answered',
  sound: 'Sound that the model answered',
  boxesOn: (count: number) => `Your picture with ${count} ${count === 1 ? 'mark' : 'marks'}`,
} as const
