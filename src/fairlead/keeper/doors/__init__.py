"""What callers and devices come in by: the front door's files, the waker, pages, metrics."""
