/** Texts of why something is as it is. */
export const why = {
  ask: 'Why',
  askOf: (of: string) => `Why is ${of} as it is?`,
  of: (of: string) => `Why ${of} is as it is`,
  chain: 'What led to it, latest last',
  none: 'Nothing is known of it yet',
  noneText: 'Nobody has set it and it has said nothing.',
} as const
