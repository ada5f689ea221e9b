"""One small image from its upload to public AMIs everywhere: written directly, copied by EC2, and published by awspub.

Each publisher has an embedded cloud of its own, with the same Regions and behaviour (:mod:`benchmarks.profile`).
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import awspub, profile, results
from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from tests.e2e.site import Site, image
from tests.keys import new_key

ROOT = Path(__file__).resolve().parent.parent
#: Blocks of the image: 8 MiB, so that two cores can bring it into 31 Regions.
BLOCKS = 16
#: Calls by which the phases of a publication are told.
PHASES = (
    "ImportSnapshot",
    "PutSnapshotBlock",
    "CompleteSnapshot",
    "CopySnapshot",
    "CopyImage",
    "RegisterImage",
    "ModifyImageAttribute",
)


@dataclass(frozen=True)
class Seen:
    """What a publication left behind: the cloud's journal, and by function the seconds of each of its invocations."""

    calls: list[dict[str, Any]]
    invocations: dict[str, list[float]]

    @classmethod
    def of(cls, cloud: LocalCloud) -> Seen:
        logs = (cloud.state / "logs").glob("*.log")
        return cls(cloud.calls(), {log.stem.rpartition("-")[2]: list(_seconds(log)) for log in logs})


#: Publishes the image in a cloud with these Regions and a clock of this scale.
Publisher = Callable[[list[str], float], Seen]


def direct(regions: list[str], scale: float) -> Seen:
    """Broadside as it comes."""
    return _broadside(regions, scale, ())


def copy(regions: list[str], scale: float) -> Seen:
    """Broadside with the strategy ``copy``."""
    with tempfile.TemporaryDirectory(prefix="bs-code-") as folder:
        _code_that_copies(Path(folder))
        return _broadside(regions, scale, ("--code", folder))


def by_awspub(regions: list[str], scale: float) -> Seen:
    """awspub's ``create``, then its ``publish``."""
    with tempfile.TemporaryDirectory(prefix="bs-awspub-") as folder, LocalCloud(profile.realistic(regions, scale)) as cloud:
        awspub.publish(cloud, image(BLOCKS), regions, scale, Path(folder))
        return Seen.of(cloud)


PUBLISHERS: dict[str, Publisher] = {"direct": direct, "copy": copy, "awspub": by_awspub}


def _broadside(regions: list[str], scale: float, options: tuple[str, ...]) -> Seen:
    behaviour = profile.realistic(regions, scale)
    with new_key("builder") as builder, new_key("signer") as signer, LocalCloud(behaviour, options=options) as cloud:
        site = Site(cloud, builder, signer)
        cloud.reset_calls()
        build = site.upload(image(BLOCKS))
        site.wait_for(build, BuildState.PUBLIC, timeout=7200)
        return Seen.of(cloud)


def _code_that_copies(folder: Path) -> None:
    shutil.copy(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "chalicelib", folder / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    policy = folder / "chalicelib" / "policy.toml"
    policy.write_text(policy.read_text() + 'strategy = "copy"\n')  # of the stream daily, which stands last


def measure(name: str, regions: list[str], scale: float) -> dict[str, Any]:
    """Run one publisher; times are in AWS's seconds since the image began to be uploaded."""
    seen = PUBLISHERS[name](regions, scale)
    return (
        summarise(seen.calls, scale)
        | {"functions": _functions(seen)}
        | {"regions": len(regions), "scale": scale, "blocks": BLOCKS}
    )


def record(name: str, regions: list[str], scale: float) -> None:
    """Run one publisher, and keep what it took among the results, in the place of an earlier run of its kind."""
    run = {"publisher": name} | measure(name, regions, scale)
    before = (results.load("publication") or {}).get("runs", [])
    kind = ("publisher", "regions", "scale")
    kept = [each for each in before if any(each[key] != run[key] for key in kind)]
    results.save("publication", {"runs": sorted([*kept, run], key=lambda each: [str(each[key]) for key in kind])})


def summarise(calls: list[dict[str, Any]], scale: float) -> dict[str, Any]:
    """When each phase began and ended, and how often each call was made."""
    begun = min(_at(call) for call in calls if call["action"] in ("PutObject", "UploadPart"))
    counts: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    for call in calls:
        counts[call["action"]] = counts.get(call["action"], 0) + 1
        if call["action"] in PHASES and call["status"] < 300:
            times.setdefault(call["action"], []).append((_at(call) - begun) * scale)
    phases = {action: [min(found), max(found)] for action, found in times.items()}
    return {"seconds": phases["ModifyImageAttribute"][1], "phases": phases, "calls": counts}


def _functions(seen: Seen) -> dict[str, Any]:
    """Of each function: how often it ran, the mean of its seconds, and those of the first time, with a cold start."""
    runs = seen.invocations
    return {name: {"runs": len(all_), "mean": statistics.mean(all_), "first": all_[0]} for name, all_ in runs.items() if all_}


def _seconds(log: Path) -> Iterator[float]:
    """The real seconds of each invocation that a function's log reports."""
    for line in log.read_text().splitlines():
        if line.startswith('{"report"'):
            yield json.loads(line)["milliseconds"] / 1000


def _at(call: dict[str, Any]) -> float:
    return datetime.fromisoformat(call["time"]).timestamp()
