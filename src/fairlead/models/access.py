"""Who may see and call a model, and what was granted to it. All take a session and the moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner, in_force
from fairlead.bundles.manifest import ModelManifest
from fairlead.errors import Invalid
from fairlead.models import queries
from fairlead.store.move import note
from fairlead.store.records import Model

GRANTS = ("public", "outbound")


def managed(session: Session, caller: Caller, name: str) -> Model:
    """Return the model that ``caller`` may change; raises as the policy does."""
    model = queries.get(session, caller, name)
    check(caller, Verb.MANAGE_MODELS)
    check_owner(caller, model.owner, f"the model {name}")
    return model


def apply_access(session: Session, model: Model, manifest: ModelManifest, by: str, now: datetime) -> None:
    """Put the visibility that the manifest says in force; ``public`` only where a configurer granted it."""
    wanted = in_force(model.visibility, manifest.access.visibility, model.granted)
    if wanted != model.visibility:
        note(session, "model", model.name, f"visibility {model.visibility} → {wanted}", now, by=by)
        model.visibility = wanted


def grant(session: Session, caller: Caller, name: str, what: str, given: bool, now: datetime) -> Model:
    """Grant a model ``public`` or ``outbound``, or take it back; raises :class:`Invalid` for anything else."""
    check(caller, Verb.GRANT)
    if what not in GRANTS:
        raise Invalid(f"{what} is nothing to grant", code="grant_unknown", hint=" or ".join(GRANTS))
    model = queries.get(session, caller, name)
    if given == (what in model.granted):
        return model
    rest = tuple(one for one in model.granted if one != what)
    model.granted = tuple(sorted((*rest, what))) if given else rest
    note(session, "model", name, f"{what} {'granted' if given else 'no longer granted'}", now, by=caller.name)
    if what == "public":
        visibility = "public" if given and "public" in model.asked else model.visibility
        model.visibility = "team" if not given and visibility == "public" else visibility
    return model


def set_visibility(session: Session, caller: Caller, name: str, visibility: str, now: datetime) -> Model:
    """Change who may see and call a model until its next version says otherwise; ``public`` takes a grant."""
    model = managed(session, caller, name)
    if visibility not in ("private", "team", "public"):
        raise Invalid(f"{visibility} is no visibility", code="visibility_unknown", hint="private, team or public")
    if visibility == "public" and "public" not in model.granted:
        check(caller, Verb.GRANT)
        model.granted = tuple(sorted((*model.granted, "public")))
    if visibility != model.visibility:
        note(session, "model", name, f"visibility {model.visibility} → {visibility}", now, by=caller.name)
        model.visibility = visibility
    return model
