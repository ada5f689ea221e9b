"""Promises about beginning a build's snapshots in all Regions at once."""

from __future__ import annotations

import pytest

from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import Method, PublicationState
from chalicelib.snapshots import everywhere
from chalicelib.snapshots.blocks import shards
from tests.snapshots.bench import AWAY, HOME, REGIONS, Bench, disk, refused, silent, throttled

CONTENT = disk("a", "b", "c", "d", "e")
FAR = REGIONS[2]


def test_every_written_region_gets_its_snapshot_and_the_others_are_noted(bench: Bench) -> None:
    """Each chained to what the product has there."""
    earlier = bench.publish(CONTENT, "20261120", AWAY)
    build = bench.build(CONTENT, "20261121")
    assert everywhere.start(bench.index, build, [HOME, AWAY], [FAR], bench.snapshots) == {}
    home, away, far = (bench.publication(build, region) for region in REGIONS)
    assert (home.method, away.method, far.method) == (Method.WRITE, Method.WRITE, Method.COPY)
    assert home.parent is None
    assert away.parent is not None
    assert away.parent.snapshot_id == earlier.snapshot_id
    assert far.snapshot_id == ""
    assert bench.ebs(FAR).calls == []


def test_one_regions_failure_is_its_alone(bench: Bench) -> None:
    """The others begin, and the answer says what went wrong where."""
    build = bench.build(CONTENT)
    bench.ebs(AWAY).before = silent
    bench.ec2(FAR).before = refused("UnauthorizedOperation")
    troubles = everywhere.start(bench.index, build, REGIONS, [], bench.snapshots)
    assert troubles.keys() == {AWAY, FAR}
    assert isinstance(troubles[AWAY], CloudBusy)
    assert isinstance(troubles[FAR], CloudRefused)
    assert bench.publication(build, HOME).snapshot_id
    assert everywhere.left_to_write(bench.index, build, bench.receipts(build)) == shards(len(CONTENT))


def test_a_failure_in_all_regions_stops_the_build(bench: Bench) -> None:
    """It is not the Regions' then, and the state machine tries again."""
    build = bench.build(CONTENT)
    for region in REGIONS:
        bench.ebs(region).before = throttled
    with pytest.raises(CloudBusy, match="RequestThrottledException"):
        everywhere.start(bench.index, build, REGIONS, [], bench.snapshots)


def test_starting_again_goes_on_with_what_is_there(bench: Bench) -> None:
    """No Region gets a second snapshot, and what is known to be written is not left to write."""
    build = bench.build(CONTENT)
    everywhere.start(bench.index, build, REGIONS, [], bench.snapshots)
    before = bench.index.publications(build.id)
    bench.writer(build, CONTENT).write(0)
    everywhere.start(bench.index, build, REGIONS, [], bench.snapshots)
    assert bench.index.publications(build.id) == before
    assert [shard.start for shard in everywhere.left_to_write(bench.index, build, bench.receipts(build))] == [4]


def test_nothing_is_left_to_write_where_every_region_has_its_ami(bench: Bench) -> None:
    """A finished build that is run again reads no receipt and no block."""
    build = bench.build(CONTENT, regions=(HOME, AWAY))
    everywhere.start(bench.index, build, [HOME, AWAY], [], bench.snapshots)
    for region in (HOME, AWAY):
        bench.index.advance(build.id, region, PublicationState.STAGED, image_id=f"ami-{region}")
    assert everywhere.left_to_write(bench.index, build, bench.receipts(build)) == []
