"""Secrets of bundles: set, listed by name, removed, and asked for by a push. A value is never given back.

A secret may be set before the bundle is there. It is then whoever's set it: a first push by somebody else begins
without it, so that taking a name takes nobody's secrets.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import former
from fairlead.accounts.policy import Caller, Verb, check, check_owner, may_see
from fairlead.bundles.reading import closest
from fairlead.errors import Conflict, Internal, Invalid, NotFound, Problem
from fairlead.identity.mask import Mask
from fairlead.identity.seal import Sealer, secret_name
from fairlead.status import RunStatus, VersionStatus
from fairlead.store.move import note
from fairlead.store.records import App, AppAlias, AppVersion, FormerSecret, Model, ModelVersion, Run, Secret

VALUE_MAX_BYTES = 8 * 1024
ALL_MAX_BYTES = 48 * 1024
"""Of all secrets of a bundle: they travel in one variable, which Linux bounds at 128 KiB, as JSON."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_OVER = (VersionStatus.FAILED, VersionStatus.RETIRED)
_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED)


class _Run(msgspec.Struct, frozen=True):
    secrets: tuple[str, ...] = ()


class _Manifest(msgspec.Struct, frozen=True):
    run: _Run = _Run()


def put(
    session: Session, caller: Caller, bundle: str, name: str, value: str, now: datetime, *, sealer: Sealer
) -> Secret:
    """Keep ``value`` as the secret ``name`` of ``bundle``; raises :class:`Invalid` (``secret_invalid``)."""
    _check_may(session, caller, bundle)
    _check_value(name, value)
    sealed = sealer.seal(value, secret_name(bundle, name))
    found = session.get(Secret, (bundle, name))
    others = (
        select(func.coalesce(func.sum(func.length(Secret.sealed)), 0))
        .where(Secret.bundle == bundle)
        .where(Secret.name != name)
    )
    if (session.scalar(others) or 0) + len(sealed) > ALL_MAX_BYTES:
        raise _invalid(f"the secrets of {bundle} would be more than {ALL_MAX_BYTES} bytes together", "remove some")
    if found is None:
        found = Secret(bundle=bundle, name=name, sealed=sealed, set_by=caller.name, set_at=now)
        session.add(found)
    else:
        if _opened(found, sealer) != value:
            former.keep(session, found, now)
        found.sealed, found.set_by, found.set_at = sealed, caller.name, now
    note(session, "secret", f"{bundle}/{name}", "set", now, by=caller.name)
    session.flush()
    return found


def unasked(session: Session, caller: Caller, bundle: str, name: str) -> str:
    """Return why nothing will read a secret now, with what may have been meant; else nothing."""
    if _owner(session, bundle) is None:
        near = closest(bundle, _seen(session, caller))
        return f"there is no model or app {bundle} yet: it counts once you push one" + (f"; {near}" if near else "")
    asked = {one for _, names in _in_use(session, bundle) for one in names}
    if name in asked:
        return ""
    near = closest(name, asked)
    return f"no version of {bundle} asks for {name} in run.secrets" + (f"; {near}" if near else "")


def _seen(session: Session, caller: Caller) -> list[str]:
    """Return the names of all models and apps that ``caller`` may see."""
    models = select(Model.name, Model.owner, Model.visibility).where(Model.removed_at.is_(None))
    apps = select(App.name, App.owner, App.visibility).where(App.removed_at.is_(None))
    rows = [*session.execute(models), *session.execute(apps)]
    return [name for name, owner, visibility in rows if may_see(caller, owner, visibility)]


def list_of(session: Session, caller: Caller, bundle: str = "") -> list[Secret]:
    """Return the secrets of ``bundle``, or of all bundles of the caller's, by name; values stay sealed."""
    check(caller, Verb.SET_SECRETS)
    query = select(Secret).order_by(Secret.bundle, Secret.name)
    if bundle:
        _check_may(session, caller, bundle)
        query = query.where(Secret.bundle == bundle)
    found = session.scalars(query)
    return [one for one in found if caller.owns(_owner(session, one.bundle) or one.set_by)]


def remove(session: Session, caller: Caller, bundle: str, name: str, now: datetime) -> None:
    """Remove a secret; raises :class:`Conflict` (``secret_in_use``) while a version that may start names it."""
    _check_may(session, caller, bundle)
    found = session.get(Secret, (bundle, name))
    if found is None:
        raise NotFound(
            f"{bundle} has no secret {name[:128]!r}", code="secret_not_found", hint=f"fairlead secrets ls {bundle}"
        )
    users = [version for version, names in _in_use(session, bundle) if name in names]
    if users:
        raise Conflict(
            f"{bundle}@{users[0]} needs the secret {name}",
            code="secret_in_use",
            hint=f"remove {bundle}@{users[0]} first, or set another value: fairlead secrets set {bundle} {name}",
        )
    former.keep(session, found, now)
    session.delete(found)
    note(session, "secret", f"{bundle}/{name}", "removed", now, by=caller.name)
    session.flush()


def require(session: Session, bundle: str, names: Iterable[str]) -> None:
    """Raise :class:`Invalid` (``secret_missing``) unless every secret in ``names`` is set."""
    wanted = sorted(set(names))
    if not wanted:
        return
    there = set(session.scalars(select(Secret.name).where(Secret.bundle == bundle)))
    missing = [name for name in wanted if name not in there]
    if missing:
        commands = [f"fairlead secrets set {bundle} {name}" for name in missing]
        raise Invalid(
            f"{bundle} needs the secret{'s' if len(missing) > 1 else ''} {', '.join(missing)}, which nobody has set",
            code="secret_missing",
            hint=f"set it, then push again: {commands[0]} < FILE",
            problems=tuple(
                Problem("run.secrets", "secret_missing", f"{name} is not set", command)
                for name, command in zip(missing, commands, strict=True)
            ),
        )


def begin(session: Session, bundle: str, owner: str) -> None:
    """Drop what others had set under the name of a bundle that ``owner`` pushes for the first time."""
    for one in session.scalars(select(Secret).where(Secret.bundle == bundle, Secret.set_by != owner)):
        session.delete(one)
    session.flush()


def forget(session: Session, bundle: str, now: datetime) -> None:
    """Drop all secrets of a bundle that was removed: the next one of that name may be anybody's."""
    for one in session.scalars(select(Secret).where(Secret.bundle == bundle)):
        former.keep(session, one, now)
        session.delete(one)


def sealed(session: Session) -> dict[str, dict[str, bytes]]:
    """Return all secrets by bundle and name, as they are kept."""
    found: dict[str, dict[str, bytes]] = {}
    for bundle, name, content in session.execute(select(Secret.bundle, Secret.name, Secret.sealed)):
        found.setdefault(bundle, {})[name] = content
    return found


def masks(session: Session, bundles: Iterable[str], sealer: Sealer) -> dict[str, Mask]:
    """Return by bundle what takes its secrets out of text, also in their former values; bundles without are left out.

    The empty name stands for programs of the platform, which repeat what bundles say: all secrets are taken out.
    """
    wanted = set(bundles)
    found: dict[str, list[str]] = {}
    query = select(Secret) if "" in wanted else select(Secret).where(Secret.bundle.in_(sorted(wanted)))
    for one in (*session.scalars(query), *former.of(session, wanted)):
        value = _opened(one, sealer)
        if value is not None:
            for bundle in {one.bundle, ""} & wanted:
                found.setdefault(bundle, []).append(value)
    return {bundle: Mask(values) for bundle, values in found.items()}


def _opened(secret: Secret | FormerSecret, sealer: Sealer) -> str | None:
    """Return a value; none where it cannot be opened: no process gets it then, so none can tell it."""
    with contextlib.suppress(Internal):
        return sealer.open(secret.sealed, secret_name(secret.bundle, secret.name))
    return None


def chosen(names: Sequence[str], known: dict[str, bytes]) -> dict[str, bytes]:
    """Return the secrets in ``names``; one that is missing is empty, so that whoever needs it can say so."""
    return {name: known.get(name, b"") for name in sorted(names)}


def _owner(session: Session, bundle: str) -> str | None:
    model = session.get(Model, bundle)
    if model is not None and model.removed_at is None:
        return model.owner
    app = session.get(App, bundle)
    return app.owner if app is not None and app.removed_at is None else None


def _check_may(session: Session, caller: Caller, bundle: str) -> None:
    check(caller, Verb.SET_SECRETS)
    if not ids.is_name(bundle):
        raise Invalid(f"{bundle[:63]!r} is no name of a bundle", code="name_invalid", hint="a-z, 0-9 and -")
    model, app = session.get(Model, bundle), session.get(App, bundle)
    if model is not None and model.removed_at is None:
        if not may_see(caller, model.owner, model.visibility):
            raise NotFound(f"there is no model {bundle}", code="no_such_model", hint="fairlead models lists them")
        check_owner(caller, model.owner, f"the model {bundle}")
    elif app is not None and app.removed_at is None:
        if not may_see(caller, app.owner, app.visibility):
            raise NotFound(f"there is no app {bundle}", code="app_not_found", hint="fairlead apps lists them")
        check_owner(caller, app.owner, f"the app {bundle}")
    else:
        first = session.scalar(select(Secret.set_by).where(Secret.bundle == bundle).limit(1))
        check_owner(caller, first or caller.name, f"the name {bundle}")


def _check_value(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise _invalid(f"{name[:128]!r} is not a variable's name", "letters, digits and _")
    if not value:
        raise _invalid(f"the value of {name} is empty", "give it on standard input: fairlead secrets set … < FILE")
    if _CONTROL.search(value):  # each would take six bytes of the variable
        raise _invalid(f"{name} holds control characters", "encode it, for example as base64")
    if len(value.encode("utf-8", "surrogatepass")) > VALUE_MAX_BYTES:
        raise _invalid(f"{name} has more than {VALUE_MAX_BYTES} bytes", "put large files into the bundle")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _invalid(f"{name} is no text in UTF-8", "encode it, for example as base64")


def _invalid(message: str, hint: str) -> Invalid:
    return Invalid(message, code="secret_invalid", hint=hint)


def _in_use(session: Session, bundle: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the versions that may start, and the secrets that each names."""
    models = select(ModelVersion.version, ModelVersion.manifest).where(
        ModelVersion.model == bundle, ModelVersion.status.not_in(_OVER)
    )
    named = select(AppAlias.version).where(AppAlias.app == bundle)
    live = select(Run.version).where(Run.app == bundle, Run.status.not_in(_ENDED))
    apps = select(AppVersion.version, AppVersion.manifest).where(
        AppVersion.app == bundle,
        AppVersion.status.not_in(_OVER),
        AppVersion.version.in_(named) | AppVersion.version.in_(live) | AppVersion.takes.is_not(None),
    )
    rows = [*session.execute(models), *session.execute(apps)]
    return [(version, msgspec.json.decode(text, type=_Manifest).run.secrets) for version, text in rows]
