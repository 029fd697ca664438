"""Secrets of bundles: set, listed by name, removed. No answer ever holds a value."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy.orm import Session

from fairlead.accounts import vault
from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Page, page
from fairlead.api.views.secrets import SecretView, secret_view

router = APIRouter(tags=["secrets"])


class SecretBody(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    value: SecretStr


@router.get("/secrets")
async def list_secrets(house: TheHouse, who: Who, bundle: str = "") -> Page[SecretView]:
    """Return the names of secrets of one bundle, or of all bundles of one's own."""
    return page(await house.database.read(lambda s: [secret_view(one) for one in vault.list_of(s, who, bundle)]))


@router.put("/secrets/{bundle}/{name}")
async def set_secret(bundle: str, name: str, body: SecretBody, house: TheHouse, who: Who) -> SecretView:
    """Set a secret; replicas that were started with another value are replaced."""
    now, value = house.clock.now(), body.value.get_secret_value()

    def write(session: Session) -> SecretView:
        placed = vault.put(session, who, bundle, name, value, now, sealer=house.sealer)
        return secret_view(placed, vault.unasked(session, who, bundle, name))

    view = await house.database.write(write)
    house.reconcile.nudge()
    return view


@router.delete("/secrets/{bundle}/{name}", status_code=204)
async def remove_secret(bundle: str, name: str, house: TheHouse, who: Who) -> None:
    """Remove a secret that no version needs."""
    now = house.clock.now()
    await house.database.write(lambda session: vault.remove(session, who, bundle, name, now))
