"""A whole house in one file, and a house from such a file: records, objects, keys, settings and logs, by digests.

Whoever restores gets the house of the moment at which the backup began: on SQLite or PostgreSQL, in a folder or a
cloud, whichever it came from.
"""
