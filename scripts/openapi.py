"""Writes what the web page is built from: the API as OpenAPI, and the statuses, as the code has them.

``--check`` fails when a file is stale. Needs no running platform.
"""

from __future__ import annotations

import inspect
import json
import sys
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fairlead import status
from fairlead.accounts.policy import ALLOWED, Role
from fairlead.api.app import make_app

WEB = Path(__file__).parents[1] / "web"


def openapi() -> str:
    """Return the API's description, as JSON."""
    app = make_app(cast(Any, SimpleNamespace(version="1")))
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def words() -> str:
    """Return the enums of the platform as types: statuses, roles and what roles may do."""
    lines = ["// Written by scripts/openapi.py from the code; change it there and run: make docs", ""]
    classes = [one for _, one in inspect.getmembers(status, inspect.isclass)]
    enums = {one.__name__: one for one in classes if issubclass(one, StrEnum) and list(one)}
    for one in [*enums.values(), Role]:
        members = "".join(f"\n  | '{member.value}'" for member in one)
        lines += [f"export type {one.__name__} ={members}", ""]
    verbs = {verb.name.lower(): sorted(role.value for role in roles) for verb, roles in ALLOWED.items()}
    shown = "".join(
        f"  {name}: [{', '.join(repr(role) for role in roles)}],\n" for name, roles in sorted(verbs.items())
    )
    lines += [f"export const ALLOWED = {{\n{shown}}} as const satisfies Record<string, readonly Role[]>", ""]
    return "\n".join(lines)


def main() -> int:
    """Write or check; return the exit code."""
    made = {WEB / "openapi.json": openapi(), WEB / "src" / "api" / "words.ts": words()}
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path} is stale: run make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
