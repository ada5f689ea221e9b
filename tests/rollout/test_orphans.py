"""Promises about snapshots that nobody owns: they are deleted, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from chalicelib.index.records import Method, PublicationState
from chalicelib.names import TAG_BUILD
from chalicelib.rollout import orphans
from chalicelib.snapshots.lifecycle import give_up
from tests.index.values import BUILD
from tests.local.lab import root, tagged
from tests.snapshots.bench import AWAY, HOME, REGIONS, Bench, disk, make, only, refused, silent

CONTENT = disk("a", "b")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    with mock_aws():
        yield make(tmp_path)


def sweep(bench: Bench, *regions: str) -> list[str]:
    """Sweep, without trouble; the snapshots that were deleted, all of which are gone."""
    deleted, troubles = orphans.sweep(bench.index, regions or REGIONS, bench.ec2)
    assert troubles == {}
    there = {each["SnapshotId"] for region in regions or REGIONS for each in shown(bench, region)}
    assert there.isdisjoint(deleted)
    return deleted


def shown(bench: Bench, region: str = HOME) -> list[dict[str, Any]]:
    return list(bench.lab.ec2(region).describe_snapshots(OwnerIds=["self"])["Snapshots"])


def test_what_is_being_written_is_not_touched(bench: Bench) -> None:
    """Nor is what is complete, or is getting there; nothing is deleted, and nothing else is called."""
    bench.lab.world.behaviour = bench.lab.world.behaviour.model_copy(update={"snapshot_complete_seconds": 60})
    bench.snapshots(HOME).start(bench.build(CONTENT, "20261120"), None)
    bench.publish(CONTENT, "20261121", AWAY)
    assert sweep(bench) == []
    bench.lab.wait(61)
    assert sweep(bench) == []
    assert all(not bench.ec2(region).of("delete_snapshot") for region in REGIONS)


def test_a_snapshot_whose_id_is_not_on_record_yet_is_not_touched(bench: Bench) -> None:
    """The answer of StartSnapshot was lost, or is on its way to the index."""
    build = bench.build(CONTENT)
    bench.ebs(HOME).after = only("start_snapshot", silent, times=1)
    with pytest.raises(Exception, match="no answer"):
        bench.snapshots(HOME).start(build, None)
    assert sweep(bench) == []
    assert bench.holds(bench.write(build, CONTENT), CONTENT)


def test_what_a_region_left_that_is_copied_now_is_deleted(bench: Bench) -> None:
    """In that Region alone."""
    build = bench.build(CONTENT)
    begun = {region: bench.snapshots(region).start(build, None).snapshot_id for region in REGIONS}
    give_up(bench.index, build, AWAY)
    assert sweep(bench) == [begun[AWAY]]
    assert sweep(bench) == []


def test_a_snapshot_that_another_took_the_place_of_is_deleted(bench: Bench) -> None:
    """Its replacement was begun, and it was not deleted then."""
    build = bench.build(CONTENT)
    old = bench.snapshots(HOME).start(build, None)
    bench.index.advance(
        build.id, HOME, PublicationState.WRITING, attempt=1, method=Method.WRITE, snapshot_id="snap-" + "1" * 17
    )
    assert sweep(bench) == [old.snapshot_id]


def test_a_snapshot_in_error_is_deleted(bench: Bench) -> None:
    """Also where it is the publication's own: it never becomes anything, and the next try begins another."""
    build = bench.build(CONTENT)
    dead = bench.snapshots(HOME).start(build, None).snapshot_id
    bench.lab.wait(7 * 24 * 3600)
    assert sweep(bench) == [dead]


def test_the_next_try_after_the_sweep_begins_another(bench: Bench) -> None:
    """What was swept does not come back by its token."""
    build = bench.build(CONTENT)
    dead = bench.snapshots(HOME).start(build, None).snapshot_id
    bench.lab.wait(7 * 24 * 3600)
    sweep(bench)
    bench.clock.time = bench.clock.time.replace(day=28)
    publication = bench.write(build, CONTENT)
    assert publication.snapshot_id != dead
    assert bench.holds(publication, CONTENT)


def test_what_is_not_ours_is_not_touched(bench: Bench) -> None:
    """Somebody's own pending snapshot, one with our tag that we did not write, one whose tag nobody understands."""
    api = bench.lab.ebs(HOME)
    tag = {"Key": TAG_BUILD, "Value": str(BUILD)}
    api.start_snapshot(VolumeSize=1, Description="Broadside by hand")
    api.start_snapshot(VolumeSize=1, Description="Copied for a friend", Tags=[tag])
    api.start_snapshot(VolumeSize=1, Description="Broadside of old", Tags=[tag | {"Value": "no build's name"}])
    bench.build(CONTENT)
    assert sweep(bench) == []
    assert len(shown(bench)) == 3


def test_a_pending_copy_is_not_touched(bench: Bench) -> None:
    """CopyImage's snapshot carries the build's tags and is pending while its publication has another way than writing."""
    build = bench.build(CONTENT)
    publication = bench.write(build, CONTENT)
    image = bench.lab.ec2(HOME).register_image(
        Name="image", RootDeviceName="/dev/sda1", BlockDeviceMappings=[root(publication.snapshot_id)]
    )
    bench.lab.world.behaviour = bench.lab.world.behaviour.model_copy(update={"copy_seconds": 600})
    bench.index.advance(build.id, AWAY, PublicationState.PLANNED, method=Method.COPY)
    tags = build.id.tags(build.digest)
    bench.lab.ec2(AWAY).copy_image(
        Name="image",
        SourceImageId=image["ImageId"],
        SourceRegion=HOME,
        TagSpecifications=[tagged("image", **tags), tagged("snapshot", **tags)],
    )
    assert sweep(bench) == []
    assert [each["State"] for each in shown(bench, AWAY)] == ["pending"]


def test_the_snapshots_of_another_installation_are_not_touched(bench: Bench) -> None:
    """Two in one account: a build that this index has never heard of is the other's, and may be under way."""
    build = bench.build(CONTENT)
    other = replace(BUILD, serial="20261130")
    tags = [{"Key": key, "Value": value} for key, value in other.tags("ab" * 32).items()]
    bench.lab.ebs(HOME).start_snapshot(VolumeSize=1, Description=f"Broadside {other}", Tags=tags)
    bench.snapshots(HOME).start(build, None)
    assert sweep(bench) == []


def test_a_build_that_is_known_but_not_planned_here_owns_nothing(bench: Bench) -> None:
    """Its publications went with files that were refused."""
    build = bench.build(CONTENT, regions=(AWAY,))
    tags = [{"Key": key, "Value": value} for key, value in build.id.tags(build.digest).items()]
    left = bench.lab.ebs(HOME).start_snapshot(VolumeSize=1, Description=f"Broadside {build.id}", Tags=tags)["SnapshotId"]
    assert sweep(bench) == [left]


def test_trouble_in_one_region_does_not_stop_the_others(bench: Bench) -> None:
    """It is told, and the next sweep looks again."""
    build = bench.build(CONTENT)
    for region in REGIONS:
        bench.snapshots(region).start(build, None)
        give_up(bench.index, build, region)
    bench.ec2(AWAY).before = refused("UnauthorizedOperation")
    deleted, troubles = orphans.sweep(bench.index, REGIONS, bench.ec2)
    assert len(deleted) == len(REGIONS) - 1
    assert troubles.keys() == {AWAY}
    bench.ec2(AWAY).before = None
    assert len(sweep(bench)) == 1
