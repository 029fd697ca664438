"""What an app asks for that no installation can give it as things are: types of devices, and models.

No reason to refuse a push, as both may come later; but nothing of it runs until they do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, may_see
from fairlead.bundles import reading
from fairlead.bundles.manifest import AppManifest
from fairlead.devices import types
from fairlead.errors import Problem
from fairlead.store.records import DeviceType, Model


def here(session: Session, who: Caller, manifest: AppManifest) -> tuple[Problem, ...]:
    """Return what is not there of what the app asks for; of models those count that ``who`` may see."""
    majors: dict[str, set[int]] = {}
    for name, major in session.execute(select(DeviceType.name, DeviceType.major).distinct()):
        majors.setdefault(name, set()).add(major)
    rows = session.execute(select(Model.name, Model.owner, Model.visibility).where(Model.removed_at.is_(None)))
    models = [name for name, owner, visibility in rows if may_see(who, owner, visibility)]
    return tuple(told(manifest, majors, models))


def told(manifest: AppManifest, majors: Mapping[str, Collection[int]], models: Collection[str]) -> Iterator[Problem]:
    """Yield what the app asks for beyond these types, by name with their majors, and these models. Pure."""
    for role, wanted in manifest.devices.items():
        name, major = types.split_role(wanted.type)
        path = f"devices.{role}.type"
        if name not in majors:
            hint = reading.closest(name, majors) or "fairlead types lists them; a configurer adds one"
            yield Problem(path, "type_not_found", f"there is no device type {name}", hint)
        elif major is not None and major not in majors[name]:
            hint = f"there is {', '.join(f'{name}@{one}' for one in sorted(majors[name]))}"
            yield Problem(path, "type_not_found", f"there is no device type {name}@{major}", hint)
    for role, ref in manifest.models.items():
        name = ref.partition("@")[0]
        if name not in models:
            hint = reading.closest(name, models) or "fairlead models lists them; push it before the app runs"
            yield Problem(f"models.{role}", "model_not_found", f"there is no model {name}", hint)


def text(problem: Problem) -> str:
    """Return a problem as a warning is read."""
    return f"{problem.path}: {problem.message}; {problem.hint}"
