"""Messages between control and keepers, and the traffic of devices.

``port`` is the seam, ``nats`` the real thing, ``subjects`` the only place with subject strings, ``server`` and
``credentials`` what nats-server is started with, ``callout`` and ``gate`` who lets devices in.
"""
