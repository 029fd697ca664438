"""Devices: types, where they stand, what they say and what they are told.

``types``, ``arbiter`` and ``freshness`` decide; ``door`` judges each message; ``registry``, ``readings``,
``commands``, ``holds`` and ``sending`` keep the records.
"""
