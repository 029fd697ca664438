"""Drives zygotes: keeps those of versions that sleep ready to fork, within a budget of memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from fairlead.engines import Engine, Launch
from fairlead.engines.launch import zygote_name
from fairlead.errors import Error
from fairlead.keeper.serving import warmth
from fairlead.keeper.serving.version import Version
from fairlead.messages import VersionWanted
from fairlead.supervisor import proc

EVERY_S = 2.0
"""How often zygotes are looked at."""
AT_ONCE = 2
"""Zygotes that begin at the same time where nobody waits for them: imports take the cores from those who call."""
MEASURED_AT_ONCE = 4
"""Zygotes whose memory is measured at a look, the longest unmeasured first: the kernel walks all of its pages."""
Launcher = Callable[[VersionWanted], Awaitable[Launch]]


class Warmer:
    """Starts and ends zygotes beside the replicas' own needs."""

    def __init__(
        self,
        engine: Engine,
        launcher: Launcher,
        budget_mb: float,
        *,
        spawn: Callable[[Awaitable[None], str], None],
        on_failure: Callable[[Version, Error], None],
        memory_mb: Callable[[int], float] = proc.memory_mb,
    ) -> None:
        self._engine, self._launcher, self._budget_mb = engine, launcher, budget_mb
        self._spawn, self._on_failure = spawn, on_failure
        self._looked_at = float("-inf")
        self._warming: set[str] = set()
        self._memory_mb = memory_mb
        self._measured: dict[str, float] = {}
        """Memory of each by name, the longest unmeasured first; of one that ended, its last."""

    def look(self, versions: Iterable[Version], now: float) -> None:
        """Start what should be warm and end what is spare; does nothing when it looked a moment ago."""
        if now - self._looked_at < EVERY_S:
            return
        self._looked_at = now
        known = list(versions)
        running = self._engine.zygotes()
        named = {
            zygote_name(version.key[0], version.wanted.digest): (version, version.wanted)
            for version in known
            if version.wanted is not None
        }
        wanted = {  # one that is still looked into is not started here, but kept where it was started early
            name: (version, item)
            for name, (version, item) in named.items()
            if version.is_prepared or version.replicas or name in running
        }
        needed = {zygote_name(version.key[0], version.digest) for version in known if version.replicas}
        self._measure(running, needed)
        for name in self._measured.keys() - named.keys() - running.keys():
            del self._measured[name]
        candidates = [self._candidate(name, v, now) for name, (v, _) in wanted.items()]
        plan = warmth.decide(candidates, running, self._measured, self._budget_mb)
        for name in plan.warm[: max(0, AT_ONCE - len(self._warming))]:
            version, item = wanted[name]
            self._warming.add(name)
            self._spawn(self._warm(name, version, item), f"warm {name}")
        for name in plan.cool:
            if name not in needed:
                self._spawn(self._engine.cool(name), f"cool {name}")

    def _candidate(self, name: str, version: Version, now: float) -> warmth.Candidate:
        return warmth.Candidate(
            name,
            last_used=version.last_called if version.last_called is not None else float("-inf"),
            needed=bool(version.replicas),
            may_start=version.may_start(now) and name not in self._warming,
        )

    def _measure(self, running: Mapping[str, int], needed: set[str]) -> None:
        """Measure some; one that has replicas shares its pages with them, and is measured once it is alone."""
        alone = running.keys() - needed
        known = [name for name in self._measured if name in alone]
        for name in [*(alone - self._measured.keys()), *known[:MEASURED_AT_ONCE]]:
            self._measured.pop(name, None)
            self._measured[name] = self._memory_mb(running[name])

    async def _warm(self, name: str, version: Version, wanted: VersionWanted) -> None:
        try:
            await self._engine.warm(await self._launcher(wanted))
        except Error as error:
            self._on_failure(version, error)
        finally:
            self._warming.discard(name)
