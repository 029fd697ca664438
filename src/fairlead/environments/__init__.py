"""Environments of bundles: one per set of requirements, found by the digest of what it is made of."""

from fairlead.environments.base import reachable
from fairlead.environments.build import build, collect, retire
from fairlead.environments.resolve import key

__all__ = ["build", "collect", "key", "reachable", "retire"]
