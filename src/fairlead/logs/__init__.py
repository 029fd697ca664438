"""What happened: lines of log files, and why things are as they are."""
