/** Texts of apps and what ran of them. */
export const apps = {
  nav: 'Apps',
  title: 'Apps',
  intro: 'What can run, what it needs, and what ran lately.',
  none: 'No apps yet',
  noneText: 'An app developer pushes one with: fairlead push my-app',
  columns: { app: 'App', needs: 'Devices', models: 'Models', owner: 'Owner' },
  runs: 'Runs',
  noRuns: 'Nothing ran yet',
  runColumns: { run: 'Run', at: 'Place', status: 'Status', started: 'Started', why: 'Why' },
  why: 'Why',
  whyRun: (id: string) => `Why is ${id} as it is?`,
  whyOf: (id: string) => `Why: ${id}`,
  chain: 'What led to it',
} as const
