/** Texts that all rooms share. */
export const common = {
  again: 'Try again',
  cancel: 'Cancel',
  close: 'Close',
  copied: 'Copied',
  copy: 'Copy',
  loading: 'Loading',
  nothing: 'Nothing here yet',
  save: 'Save',
  search: 'Search',
  unknown: 'unknown',
} as const
