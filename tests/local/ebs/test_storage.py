"""How blocks are kept: once each, and no longer than they are needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from broadside.local.ebs.blocks import BLOCK_SIZE, ZEROS
from tests.local.lab import AWAY, HOME, Lab, block


def test_copies_and_equal_blocks_lie_on_the_disk_once(lab: Lab) -> None:
    """The same image written in two Regions and copied to a third takes the place of one."""
    blocks = {0: block("a"), 1: block("b"), 2: block("a"), 3: ZEROS}
    lab.snapshot(HOME, blocks=blocks)
    there = lab.snapshot(AWAY, blocks=blocks)
    lab.ec2("eu-west-2").copy_snapshot(SourceRegion=AWAY, SourceSnapshotId=there)
    assert lab.world.snapshots.blocks_stored == 2


def test_the_place_of_a_block_that_nobody_needs_is_used_again(lab: Lab, tmp_path: Path) -> None:
    """Deleting and writing over and over does not make the file grow."""
    for turn in range(5):
        snapshot_id = lab.snapshot(blocks={0: block(f"a{turn}"), 1: block(f"b{turn}")})
        lab.ec2().delete_snapshot(SnapshotId=snapshot_id)
    assert lab.world.snapshots.blocks_stored == 0
    assert (tmp_path / "blocks" / "blocks.pool").stat().st_size <= 2 * BLOCK_SIZE


def test_a_copy_keeps_its_content_when_the_source_is_deleted(lab: Lab) -> None:
    """And the other way round."""
    source = lab.snapshot(blocks={0: block("a")})
    copy = lab.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=source)["SnapshotId"]
    lab.ec2().delete_snapshot(SnapshotId=source)
    assert lab.content(copy, AWAY) == {0: block("a")}


def test_a_child_gives_back_what_it_replaced_of_its_parent(lab: Lab) -> None:
    """Once the parent is deleted, only the child's own view of the volume is kept."""
    parent = lab.snapshot(blocks={0: block("old"), 1: block("kept")})
    lab.snapshot(blocks={0: block("new")}, ParentSnapshotId=parent)
    lab.ec2().delete_snapshot(SnapshotId=parent)
    assert lab.world.snapshots.blocks_stored == 2


def test_many_writers_at_once_lose_nothing(lab: Lab) -> None:
    """Equal and different blocks, into two snapshots, from eight threads."""
    targets = [lab.ebs(region).start_snapshot(VolumeSize=1)["SnapshotId"] for region in (HOME, AWAY)]
    wanted = {index: block(f"{index % 7}") for index in range(64)}
    jobs = [(target, region, index) for index in wanted for target, region in zip(targets, (HOME, AWAY), strict=True)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: lab.put(job[0], job[2], wanted[job[2]], job[1]), jobs))
    for target, region in zip(targets, (HOME, AWAY), strict=True):
        lab.ebs(region).complete_snapshot(SnapshotId=target, ChangedBlocksCount=64)
        assert lab.content(target, region) == wanted
    assert lab.world.snapshots.blocks_stored == 7
