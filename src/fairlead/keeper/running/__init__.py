"""Runs of apps on this machine: their processes, their channel, what they know of devices."""
