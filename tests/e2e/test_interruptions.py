"""Whatever arrives twice, out of order, or dies half-way: one AMI per Region, no orphan, the same index."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from chalicelib.names import BuildId
from tests.e2e.site import Site, image
from tests.keys import Key

REGIONS = ("us-east-1", "eu-west-1")
QUIET: dict[str, Any] = {"home": REGIONS[0], "time_scale": 100, "regions": [{"name": name} for name in REGIONS]}
#: Whoever is not "user".
FUNCTIONS = "[!u]*"
CONTENT = image(2, seed=8)
#: Seconds for one build on a machine that has other work, too.
PATIENCE = 300


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key) -> Iterator[Site]:
    """A small deployment of its own, since its functions are killed."""
    with LocalCloud(QUIET) as cloud:
        yield Site(cloud, builder, signer)


@dataclass(frozen=True)
class Run:
    """A build that nothing disturbed: how many calls the functions made for it, and what the index says in the end."""

    calls: int
    index: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> Run:
    """What the others are measured by."""
    site.wait_for(site.upload(CONTENT), BuildState.PUBLIC)  # the first run also sets up what later ones find
    before = site.last_call()
    build = site.upload(CONTENT)
    site.wait_for(build, BuildState.PUBLIC)
    assert_whole(site, build)
    return Run(len(site.calls_since(before)), index_of(site, build))


def assert_whole(site: Site, build: BuildId) -> None:
    """Public everywhere, with one AMI and one snapshot in each Region, and nothing that no build owns."""
    record = site.record(build)
    assert record is not None
    assert (record.state, record.reason) == (BuildState.PUBLIC, "")
    publications = site.regions(build)
    assert {region: each.state.value for region, each in publications.items()} == dict.fromkeys(REGIONS, "public")
    for region in REGIONS:
        [ami] = site.images(build, region)
        assert ami["ImageId"] == publications[region].image_id
        [snapshot] = site.snapshots(build, region)
        assert snapshot["SnapshotId"] == publications[region].snapshot_id
        assert (snapshot["State"], ami["State"], ami["Public"]) == ("completed", "available", True)
        everything = site.session.client("ec2", region_name=region).describe_snapshots(OwnerIds=["self"])["Snapshots"]
        assert [each["SnapshotId"] for each in everything if not each.get("Tags")] == []
    site.until(lambda: getattr(site.record(build), "downloads_at", ""), "the downloads")


def index_of(site: Site, build: BuildId) -> dict[str, Any]:
    """What the index says of a build, but for what no two builds have in common: ids, digests, and the time of day."""
    record = site.record(build)
    assert record is not None
    return {
        "build": (record.state, record.reason, record.signer, record.released_by, bool(record.downloads_at)),
        "manifest": {**record.manifest, "serial": ""},
        "files": [(file.path, file.size) for file in record.files],
        "regions": {
            region: (each.state, each.reason, each.attempt, sorted(each.times)) for region, each in site.regions(build).items()
        },
    }


def killed_at(site: Site, nth: int, kind: str, undisturbed: Run) -> None:
    """One build, during which the function that makes the n-th call dies at it."""
    site.cloud.set_behaviour(faults=[{"caller": FUNCTIONS, "nth": nth, "kind": kind}])
    try:
        build = site.upload(CONTENT)
        site.wait_for(build, BuildState.PUBLIC, BuildState.FAILED, timeout=PATIENCE)
        assert_whole(site, build)
        assert index_of(site, build) == undisturbed.index
    finally:
        site.cloud.set_behaviour()


@pytest.mark.timeout(1800)
def test_a_function_killed_at_any_call_leaves_the_same_end(site: Site, undisturbed: Run) -> None:
    """Before the call or right after it took effect, at a sample of all calls; ``long`` tries every one."""
    boundaries = [(nth, kind) for nth in range(1, undisturbed.calls + 1) for kind in ("kill", "apply-then-kill")]
    for nth, kind in random.Random(20261120).sample(boundaries, 24):  # noqa: S311 - the same sample each time
        killed_at(site, nth, kind, undisturbed)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["kill", "apply-then-kill", "apply-then-drop", "fail"])
def test_every_call_can_be_the_last_of_its_function(site: Site, undisturbed: Run, kind: str) -> None:
    """All boundaries of one small build, and two more kinds of fault."""
    for nth in range(1, undisturbed.calls + 1):
        killed_at(site, nth, kind, undisturbed)


def test_an_event_delivered_five_times_in_any_order_publishes_once(site: Site, keyring: Path) -> None:
    """Three builds at once, each event five times, shuffled among one another."""
    site.cloud.set_behaviour(events={"duplicate": 5, "shuffle_seconds": 200})
    try:
        builds = [site.upload(CONTENT) for _ in range(3)]
        for build in builds:
            site.wait_for(build, BuildState.PUBLIC)
            assert_whole(site, build)
            site.wait_named(build, set(REGIONS), keyring)
    finally:
        site.cloud.set_behaviour()


def test_a_lost_event_is_found_by_the_sweep(site: Site) -> None:
    """No event tells of the upload; the next sweep publishes it."""
    site.cloud.set_behaviour(events={"lost": 1})
    try:
        build = site.upload(CONTENT)
        site.fire("Sweep")
        site.wait_for(build, BuildState.PUBLIC)
        assert_whole(site, build)
    finally:
        site.cloud.set_behaviour()
