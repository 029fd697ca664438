"""Messages between control and keepers, and the traffic of devices.

``port`` is the seam, ``nats`` and ``queue`` the real things, ``parts`` how long messages travel, ``subjects`` the only
place with subject strings, ``server`` and ``credentials`` what nats-server is started with.

``callout`` and ``gate`` are who lets devices in.
"""
