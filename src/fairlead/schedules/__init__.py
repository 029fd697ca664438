"""Schedules: when an app runs where. ``due``, ``firing`` and ``check`` decide, ``service`` keeps the records and
``opening`` opens their windows."""
