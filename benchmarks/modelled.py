"""What the model says of publications that this machine cannot move, and how it compares with those that were measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from benchmarks import results
from benchmarks.model import GIB, PUBLISHERS, Assumptions, Load, direct, simulate
from chalicelib.snapshots.blocks import BLOCK_SIZE

REGIONS = (5, 10, 20, 40)
SIZES_GIB = (1, 4, 16)
BUILDS = (1, 10, 50)
#: Regions of the tables in which something else grows.
SOME_REGIONS = 20

#: What could be done otherwise, to see what it would bring: assumptions, and the size of the uploaded file.
VARIANTS: dict[str, tuple[Assumptions, int]] = {
    "as it is, qcow2 of 2 GiB": (Assumptions(), 2 * GIB),
    "as it is, raw of 8 GiB": (Assumptions(), 8 * GIB),
    "100 shards at once, qcow2": (Assumptions(shards_at_once=100), 2 * GIB),
    "100 shards at once, raw": (Assumptions(shards_at_once=100), 8 * GIB),
    "verified beside the writing, qcow2": (Assumptions(verify_first=False), 2 * GIB),
    "verified beside the writing, raw": (Assumptions(verify_first=False), 8 * GIB),
}


def everything() -> dict[str, Any]:
    """All tables."""
    return {
        "regions": [_compare(Load(regions)) | {"regions": regions} for regions in REGIONS],
        "sizes": [_compare(_load(size)) | {"gib": size} for size in SIZES_GIB],
        "builds": [_at_once(builds) for builds in BUILDS],
        "daily": [_daily(regions) for regions in REGIONS],
        "variants": {name: _variant(*variant) for name, variant in VARIANTS.items()},
        "sensitivity": _sensitivity(),
        "validation": list(_validation()),
    }


def _compare(load: Load, assumed: Assumptions | None = None) -> dict[str, Any]:
    return {name: simulate(publisher, load, assumed).seconds for name, publisher in PUBLISHERS.items()}


def _load(gib: int) -> Load:
    """An image a quarter of which is data, as of 8 GiB with 2 GiB of data."""
    return Load(SOME_REGIONS, disk_bytes=gib * GIB, file_bytes=gib * GIB // 4)


def _at_once(builds: int) -> dict[str, Any]:
    """So many builds of 8 GiB, all uploaded in one moment."""
    load = Load(SOME_REGIONS, builds=builds)
    found: dict[str, Any] = {"builds": builds}
    for name, publisher in PUBLISHERS.items():
        outcome = simulate(publisher, load)
        found[name] = {"first": outcome.ended[0], "last": outcome.seconds}
        if name == "direct":
            found["puts_per_second"] = outcome.puts_per_second
    five = simulate(direct, load, Assumptions(public_images=5))
    return found | {"private_by_quota_of_5": five.refused, "amis": builds * SOME_REGIONS}


def _daily(regions: int) -> dict[str, Any]:
    return {
        "regions": regions,
        "first": simulate(direct, Load(regions)).seconds,
        "daily": simulate(direct, Load(regions, changed=0.05)).seconds,
    }


def _variant(assumed: Assumptions, file_bytes: int) -> list[dict[str, Any]]:
    return [_compare(Load(regions, file_bytes=file_bytes), assumed) | {"regions": regions} for regions in REGIONS]


def _sensitivity() -> dict[str, dict[str, float]]:
    """How the figure for 40 Regions moves with the assumptions that nobody has documented."""
    load, base = Load(40), Assumptions()
    changed = {
        "as assumed": base,
        "a block takes 1 s": replace(base, put=1.0),
        "a function has 40 MB/s": replace(base, function_bytes=40e6),
        "a step takes 2 s": replace(base, step=2.0),
        "a snapshot completes in 5 minutes": replace(base, snapshot_complete=300.0),
        "copies take 10 minutes, all of them": replace(base, copy=(600.0, 600.0)),
    }
    return {name: _compare(load, assumed) for name, assumed in changed.items()}


def _validation() -> Iterable[dict[str, Any]]:
    """The measured publications again, by the model: with the durations of that cloud and of that run's functions."""
    for run in (results.load("publication") or {}).get("runs", []):
        steps = {name: each["mean"] * run["scale"] for name, each in run["functions"].items()}
        size = run["blocks"] * BLOCK_SIZE
        assumed = Assumptions(steps=steps, ingest=steps.get("Ingest", 0.0), put=0.03)
        modelled = simulate(PUBLISHERS[run["publisher"]], Load(run["regions"], disk_bytes=size, file_bytes=size), assumed)
        told = {key: run[key] for key in ("publisher", "regions", "scale", "seconds")}
        yield told | {"modelled": modelled.seconds}
