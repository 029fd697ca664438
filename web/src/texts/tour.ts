export const tour = {
  again: 'Take the tour',
  title: 'A short tour',
  step: (at: number, of: number) => `Step ${at} of ${of}`,
  skip: 'Skip the tour',
  back: 'Back',
  next: 'Next',
  done: 'Done',
  open: (label: string) => `Open ${label}`,
  inMenu: 'All of this is in the menu at the top left.',
  steps: {
    models: {
      title: 'Try a model',
      text: 'Choose one, fill in its form or click an example, and press Run. Below the answer stands the same call for a shell and for Python.',
    },
    home: {
      title: 'See the devices, schedule an app',
      text: 'Devices shows what each room measures now, and who holds what. Under Schedules, “Schedule an app” leads you from the app to its place and its times; nothing is written before you confirm.',
    },
    devices: {
      title: 'See the devices',
      text: 'What each room measures now, as it changes, with its history and who holds what.',
    },
    house: {
      title: 'Run the house',
      text: 'Nodes, jobs, people and their tokens, limits, and what was done by whom.',
    },
    push: {
      title: 'Push your own',
      text: 'Drop the zip of a model or an app. All that is wrong is told at once; then you watch it being built until it is ready.',
    },
    register: {
      title: 'Register your devices',
      text: 'One at a time or many from a file. A password is shown once; a simulator stands in until the hardware is there.',
    },
    gallery: {
      title: 'Keep what you like',
      text: 'An answer that you keep has a permanent link here, with the model and the words that made it. It is private until you say otherwise.',
    },
  },
} as const
