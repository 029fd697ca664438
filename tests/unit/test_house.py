"""The house of docs/architecture: imports go strictly downward, walls hold, nothing goes round in a ring."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "fairlead"
GROUND = (
    "errors",
    "ids",
    "clock",
    "status",
    "messages",
    "settings",
    "log",
    "garbage",
    "figures",
    "exposition",
    "ticks",
    "web",
)
RULES = ("accounts", "devices", "models", "apps", "schedules", "jobs", "objectives", "gallery", "hub")
ASIDE = ("mail", "logs", "autoscaler")
FLOORS = (
    GROUND,
    ("bundles", "identity", "supervisor"),
    ("store", "bus", "buckets", "sandbox"),
    ("engines", "gateway", "environments", "sdk"),
    (*RULES, *ASIDE),
    ("keeper", "control", "modelserver", "measure", "simulators", "backup", "cloud"),
    ("api", "cli", "testing", "compat"),
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
WALLS = {
    "sdk": {"store", *RULES, *ASIDE},
    "modelserver": {"store", *RULES, *ASIDE},
    "keeper": {"store", *RULES, *ASIDE},
    "api": {"engines", "gateway"},
    "cli": {"engines", "gateway"},
}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports() -> list[tuple[str, str, str]]:
    """Return (file, room, imported module) of every import of ours, those inside functions included."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE)
        room = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and node.module.startswith("fairlead")
                and not node.level
            ):
                names = (
                    [f"{node.module}.{alias.name}" for alias in node.names]
                    if node.module == "fairlead"
                    else [node.module]
                )
                found += [(str(relative), room, name) for name in names]
            elif isinstance(node, ast.Import):
                found += [
                    (str(relative), room, alias.name) for alias in node.names if alias.name.startswith("fairlead.")
                ]
    return found


IMPORTS = [(file, room, target) for file, room, target in imports() if room != "__init__"]


def may_import(room: str, other: str) -> bool:
    if room == other or FLOOR[other] < FLOOR[room]:
        return True
    if room in GROUND and other in GROUND:
        return True
    return room in RULES and other in RULES and RULES.index(other) < RULES.index(room)


def test_every_room_has_a_floor() -> None:
    rooms = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.name[0] not in "_."}

    assert rooms - {"py.typed"} <= set(FLOOR)


def test_imports_go_downward() -> None:
    wrong = [f"{file} imports {target}" for file, room, target in IMPORTS if not may_import(room, room_of(target))]

    assert wrong == []


def test_side_rooms_import_no_rule() -> None:
    wrong = [f"{file}: {target}" for file, room, target in IMPORTS if room in ASIDE and room_of(target) in RULES]

    assert wrong == []


@pytest.mark.parametrize("room", sorted(WALLS))
def test_walls_hold(room: str) -> None:
    wrong = [
        f"{file} imports {target}" for file, here, target in IMPORTS if here == room and room_of(target) in WALLS[room]
    ]

    assert wrong == []


def test_no_import_goes_round() -> None:
    edges: dict[str, set[str]] = {}
    modules = {
        ".".join(("fairlead", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        for path in SOURCE.rglob("*.py")
    }
    for file, _, target in IMPORTS:
        here = ".".join(("fairlead", *Path(file).with_suffix("").parts)).removesuffix(".__init__")
        if target in modules and target != here:
            edges.setdefault(here, set()).add(target)
    rings = [ring for start in edges if (ring := _ring(start, edges))]

    assert rings == []


def _ring(start: str, edges: dict[str, set[str]]) -> list[str]:
    trail: list[tuple[str, list[str]]] = [(start, [start])]
    seen: set[str] = set()
    while trail:
        module, path = trail.pop()
        for following in edges.get(module, ()):
            if following == start:
                return [*path, start]
            if following not in seen:
                seen.add(following)
                trail.append((following, [*path, following]))
    return []
