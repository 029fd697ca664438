"""Apps: their versions, which devices they get, and their runs.

``binding``, ``params`` and ``plan`` decide; ``versions``, ``runs`` and ``asks`` keep the records; ``wanted`` makes of
them what nodes are told.
"""
