export const logs = {
  title: 'Log',
  find: 'Find in the lines',
  level: 'From level',
  levels: { debug: 'All levels', info: 'Info and above', warning: 'Warnings and errors', error: 'Errors' },
  follow: 'Follow',
  none: 'No lines',
  noneText: 'What it writes to stdout and stderr stands here, as it is written.',
} as const
