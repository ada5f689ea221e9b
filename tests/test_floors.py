"""The house has floors: an import goes down or stays in its room, never up, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: From top to bottom.  Of two rooms on one floor one may know the other, but not both each other.
FLOORS = (
    ("broadside",),
    ("app",),
    ("chalicelib.handlers",),
    ("chalicelib.rollout",),
    ("chalicelib.images", "chalicelib.snapshots"),
    ("chalicelib.streams", "chalicelib.builds", "chalicelib.disks"),
    ("chalicelib.index",),
    ("chalicelib.policy", "chalicelib.settings", "chalicelib.observability"),
    ("chalicelib.aws",),
    ("chalicelib.openpgp",),
    ("chalicelib.names",),
    ("chalicelib.errors",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str | None:
    """The room that a module is in; None for a module that is not ours."""
    parts = module.split(".")
    if parts[0] not in ("broadside", "app", "chalicelib"):
        return None
    return ".".join(parts[:2]) if parts[0] == "chalicelib" else parts[0]


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours by its name."""
    yield "app", ROOT / "app.py"
    for package in ("broadside", "chalicelib"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Every module that a source imports, at its top or deeper inside; each imported name may be a module itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = module.split(".") if is_package else module.split(".")[:-1]
            base = ".".join([*here[: len(here) - node.level + 1], *([node.module] if node.module else [])])
            base = base if node.level else str(node.module)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def climbs(module: str, source: str, is_package: bool = False) -> list[str]:
    """What is wrong with a module's imports, in words."""
    room, wrong = room_of(module), []
    for name in imports(source, module, is_package):
        other = room_of(name)
        if other is None or other in (room, "chalicelib"):
            continue
        if room is None or room not in FLOOR or other not in FLOOR:
            wrong.append(f"{module} imports {name}: one of them is on no floor; add it to FLOORS")
        elif FLOOR[other] < FLOOR[room]:
            wrong.append(f"{module} imports {name}, which is above it")
    return wrong


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=[name for name, _ in modules()])
def test_imports_go_down(module: str, path: Path) -> None:
    """A module imports nothing from a floor above its own."""
    assert not climbs(module, path.read_text(), path.name == "__init__.py")


def test_no_two_rooms_know_each_other() -> None:
    """Rooms that share a floor import in one direction only."""
    known = {
        (room_of(module), room_of(name))
        for module, path in modules()
        for name in imports(path.read_text(), module, path.name == "__init__.py")
        if room_of(module) != room_of(name)
    }
    assert not [(one, other) for one, other in known if (other, one) in known]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("chalicelib.index.table", "from chalicelib.handlers import publish"),
        ("chalicelib.images.copy", "from chalicelib import rollout"),
        ("chalicelib.errors", "def late():\n    import chalicelib.aws"),
        ("chalicelib.streams.model", "from ..images import find"),
        ("chalicelib.index.table", "from chalicelib.attic import things"),
    ],
)
def test_an_import_that_climbs_is_found(module: str, source: str) -> None:
    """Up, deep inside a function, relative, or to a room that nobody put on a floor."""
    assert climbs(module, source)


def test_the_index_and_the_streams_know_nothing_of_ec2() -> None:
    """The public files are derived from the index alone, and the index from nothing in the cloud."""
    for room in ("index", "streams"):
        for path in (ROOT / "chalicelib" / room).rglob("*.py"):
            for word in ('client("ec2"', 'client("ebs"', "describe_images", "describe_snapshots"):
                assert word not in path.read_text(), path
