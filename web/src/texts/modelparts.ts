/** Texts of what is beside the playground: card, versions, replicas, objective, logs. */
export const modelCard = {
  none: 'There is no card',
  noneText: 'The [card] of its manifest tells who made it, from what, and how good it is.',
  abstract: 'What it is',
  scores: 'Scores, as its authors measured them',
  authors: 'Authors',
  owner: 'Owner here',
  license: 'License',
  paper: 'Paper',
  huggingface: 'Hugging Face',
  homepage: 'Home page',
  baseModel: 'Made from',
  datasets: 'Learned from',
  tags: 'Tags',
} as const
