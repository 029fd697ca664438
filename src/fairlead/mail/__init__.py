"""Mail: an outbox of records, and whoever sends what is in it."""
