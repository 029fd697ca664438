"""Bundles on this machine: fetched, looked into, compiled, bounded on the disk, removed."""
