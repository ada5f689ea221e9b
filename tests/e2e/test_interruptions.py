"""Whatever arrives twice, out of order, or dies half-way: one AMI per Region, no orphan, the same index."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from chalicelib.names import BuildId
from tests.e2e.site import Site, image
from tests.keys import Key

REGIONS = ("us-east-1", "eu-west-1")
QUIET: dict[str, Any] = {"home": REGIONS[0], "time_scale": 200, "regions": [{"name": name} for name in REGIONS]}
#: Whoever is not "user".
FUNCTIONS = "[!u]*"
CONTENT = image(2, seed=8)


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key) -> Iterator[Site]:
    """A small deployment of its own, since its functions are killed."""
    with LocalCloud(QUIET) as cloud:
        yield Site(cloud, builder, signer)


@pytest.fixture(scope="module")
def calls_of_a_run(site: Site) -> int:
    """How many calls the functions make for one undisturbed build."""
    site.wait_for(site.upload(CONTENT), BuildState.PUBLIC)  # the first run also sets up what later ones find
    before = site.last_call()
    build = site.upload(CONTENT)
    site.wait_for(build, BuildState.PUBLIC)
    assert_undisturbed(site, build)
    return len(site.calls_since(before))


def assert_undisturbed(site: Site, build: BuildId) -> None:
    """The end state is that of a run that nothing disturbed."""
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
    site.until(lambda: getattr(site.record(build), "downloads_at", ""), "the downloads")


def killed_at(site: Site, nth: int, kind: str) -> None:
    """One build, during which the function that makes the n-th call dies at it."""
    site.cloud.set_behaviour(faults=[{"caller": FUNCTIONS, "nth": nth, "kind": kind}])
    try:
        build = site.upload(CONTENT)
        site.wait_for(build, BuildState.PUBLIC, BuildState.FAILED)
        assert_undisturbed(site, build)
    finally:
        site.cloud.set_behaviour()


def test_a_function_killed_at_any_call_leaves_the_same_end(site: Site, calls_of_a_run: int) -> None:
    """Before the call or right after it took effect, at a sample of all calls; ``long`` tries every one."""
    boundaries = [(nth, kind) for nth in range(1, calls_of_a_run + 1) for kind in ("kill", "apply-then-kill")]
    for nth, kind in random.Random(20261120).sample(boundaries, 24):  # noqa: S311 - the same sample each time
        killed_at(site, nth, kind)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["kill", "apply-then-kill", "apply-then-drop", "fail"])
def test_every_call_can_be_the_last_of_its_function(site: Site, calls_of_a_run: int, kind: str) -> None:
    """All boundaries of one small build, and two more kinds of fault."""
    for nth in range(1, calls_of_a_run + 1):
        killed_at(site, nth, kind)


def test_an_event_delivered_five_times_in_any_order_publishes_once(site: Site, keyring: Path) -> None:
    """Three builds at once, each event five times, shuffled among one another."""
    site.cloud.set_behaviour(events={"duplicate": 5, "shuffle_seconds": 200})
    try:
        builds = [site.upload(CONTENT) for _ in range(3)]
        for build in builds:
            site.wait_for(build, BuildState.PUBLIC)
            assert_undisturbed(site, build)
            site.wait_named(build, set(REGIONS), keyring)
    finally:
        site.cloud.set_behaviour()


def test_a_lost_event_is_found_by_the_sweep(site: Site) -> None:
    """No event tells of the upload; the next sweep publishes it."""
    site.cloud.set_behaviour(events={"lost": 1})
    try:
        build = site.upload(CONTENT)
        rules = site.session.client("events").list_rules()["Rules"]
        site.cloud.fire_schedule(next(rule["Name"] for rule in rules if "ScheduleExpression" in rule))
        site.wait_for(build, BuildState.PUBLIC)
        assert_undisturbed(site, build)
    finally:
        site.cloud.set_behaviour()
