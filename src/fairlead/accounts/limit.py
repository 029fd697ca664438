"""How often one may try to sign in: values in, values out, bounded in memory."""

from __future__ import annotations

from collections import OrderedDict

from fairlead.errors import Busy

FAILURES_PER_NAME = 5
FAILURES_PER_ADDRESS = 30
WINDOW_S = 60.0
_KEPT = 10_000


class SignInLimit:
    """Counts failures per name and per address; a success forgets those of its name."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def check(self, name: str, address: str, monotonic: float) -> None:
        """Raise :class:`Busy` (``too_many_tries``) when either has failed too often lately."""
        for key, most in ((("name", name), FAILURES_PER_NAME), (("address", address), FAILURES_PER_ADDRESS)):
            recent = [at for at in self._failures.get(key, ()) if at > monotonic - WINDOW_S]
            if len(recent) >= most:
                wait_s = max(1.0, recent[-most] + WINDOW_S - monotonic)
                raise Busy(
                    "too many failed tries to sign in",
                    code="too_many_tries",
                    hint=f"wait {wait_s:.0f} s",
                    retry_after_s=wait_s,
                )

    def failed(self, name: str, address: str, monotonic: float) -> None:
        """Count a failure; also count a try that is still being checked, and take it back with :meth:`succeeded`."""
        for key in (("name", name), ("address", address)):
            recent = [at for at in self._failures.pop(key, ()) if at > monotonic - WINDOW_S]
            self._failures[key] = [*recent[-FAILURES_PER_ADDRESS:], monotonic]
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of ``name``, and the last one of ``address``."""
        self._failures.pop(("name", name), None)
        if self._failures.get(("address", address)):
            self._failures[("address", address)].pop()
