"""The routes of a run's channel, one file a part."""
