"""Simulated bodies of devices: rooms with a little physics, and MQTT clients that sign in like any device."""
