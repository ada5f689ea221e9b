"""GetSnapshotBlock, ListSnapshotBlocks and ListChangedBlocks."""

from __future__ import annotations

import pytest

from tests.local.lab import AWAY, STRANGER, Lab, block, checksum, refused


def test_a_block_reads_back_with_its_checksum(lab: Lab) -> None:
    """By the token of the listing."""
    snapshot_id = lab.snapshot(blocks={3: block("a")})
    listed = lab.ebs().list_snapshot_blocks(SnapshotId=snapshot_id)
    assert (listed["VolumeSize"], listed["BlockSize"]) == (1, 524_288)
    (entry,) = listed["Blocks"]
    read = lab.ebs().get_snapshot_block(SnapshotId=snapshot_id, **entry)
    assert (read["BlockData"].read(), read["Checksum"], read["DataLength"]) == (block("a"), checksum(block("a")), 524_288)


def test_a_token_reads_no_other_block(lab: Lab) -> None:
    """It is bound to its snapshot and its index."""
    first = lab.snapshot(blocks={0: block("a"), 1: block("a")})
    token = lab.ebs().list_snapshot_blocks(SnapshotId=first)["Blocks"][0]["BlockToken"]
    second = lab.snapshot(blocks={0: block("a")})
    for snapshot_id, index in ((first, 1), (second, 0)):
        with refused("ValidationException", reason="INVALID_BLOCK_TOKEN"):
            lab.ebs().get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=index, BlockToken=token)


def test_a_block_that_was_never_written_is_not_there(lab: Lab) -> None:
    """It is neither listed nor read."""
    snapshot_id = lab.snapshot(blocks={0: block("a")})
    with refused("ResourceNotFoundException", status=404):
        lab.ebs().get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=1, BlockToken="AAAA")


def test_a_pending_snapshot_is_not_read(lab: Lab) -> None:
    """Only a completed one is."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("ValidationException", reason="INVALID_SNAPSHOT_ID"):
        lab.ebs().list_snapshot_blocks(SnapshotId=snapshot_id)


def test_a_snapshot_is_known_in_its_region_alone(lab: Lab) -> None:
    """Elsewhere it is not found, HTTP 404."""
    with refused("ResourceNotFoundException", reason="SNAPSHOT_NOT_FOUND", status=404):
        lab.ebs(AWAY).list_snapshot_blocks(SnapshotId=lab.snapshot())


def test_a_stranger_reads_what_was_shared_and_nothing_else(lab: Lab) -> None:
    """AccessDeniedException until the owner shares."""
    snapshot_id = lab.snapshot()
    with refused("AccessDeniedException", status=403):
        lab.content(snapshot_id, account=STRANGER)
    lab.ec2().modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Add": [{"UserId": STRANGER}]})
    assert lab.content(snapshot_id, account=STRANGER) == {0: block("root")}


def test_long_listings_come_in_pages(lab: Lab) -> None:
    """Each page has at most MaxResults blocks; the token leads to the next, and outranks StartingBlockIndex."""
    snapshot_id = lab.snapshot(blocks={index: block("same") for index in range(150)})
    first = lab.ebs().list_snapshot_blocks(SnapshotId=snapshot_id, MaxResults=100)
    assert [it["BlockIndex"] for it in first["Blocks"]] == list(range(100))
    second = lab.ebs().list_snapshot_blocks(
        SnapshotId=snapshot_id, MaxResults=100, NextToken=first["NextToken"], StartingBlockIndex=5
    )
    assert [it["BlockIndex"] for it in second["Blocks"]] == list(range(100, 150))
    assert "NextToken" not in second


def test_a_listing_starts_where_it_is_told_to(lab: Lab) -> None:
    """From StartingBlockIndex, or the next block that is there."""
    snapshot_id = lab.snapshot(blocks={0: block("a"), 10: block("b")})
    listed = lab.ebs().list_snapshot_blocks(SnapshotId=snapshot_id, StartingBlockIndex=3)
    assert [it["BlockIndex"] for it in listed["Blocks"]] == [10]


@pytest.mark.parametrize("size", [99, 10_001])
def test_a_page_has_100_to_10000_blocks(lab: Lab, size: int) -> None:
    """Other sizes are refused."""
    with refused("ValidationException"):
        lab.ebs().list_snapshot_blocks(SnapshotId=lab.snapshot(), MaxResults=size)


def test_a_page_token_that_is_none_is_refused(lab: Lab) -> None:
    """Whether it is junk, or of another snapshot."""
    other = lab.snapshot(blocks={index: block("same") for index in range(101)})
    foreign = lab.ebs().list_snapshot_blocks(SnapshotId=other, MaxResults=100)["NextToken"]
    for token in ("AAAA", foreign):
        with refused("ValidationException", reason="INVALID_PAGE_TOKEN"):
            lab.ebs().list_snapshot_blocks(SnapshotId=lab.snapshot(), NextToken=token)


def test_a_child_has_its_parents_blocks_where_it_wrote_none(lab: Lab) -> None:
    """Also when the parent is deleted."""
    parent = lab.snapshot(blocks={0: block("a"), 1: block("b")})
    child = lab.snapshot(blocks={1: block("c"), 2: block("d")}, ParentSnapshotId=parent)
    lab.ec2().delete_snapshot(SnapshotId=parent)
    assert lab.content(child) == {0: block("a"), 1: block("c"), 2: block("d")}


def test_changed_blocks_are_those_that_differ(lab: Lab) -> None:
    """With a token for each side that has the block."""
    parent = lab.snapshot(blocks={0: block("a"), 1: block("b")})
    child = lab.snapshot(blocks={1: block("c"), 2: block("d")}, ParentSnapshotId=parent)
    changed = lab.ebs().list_changed_blocks(FirstSnapshotId=parent, SecondSnapshotId=child)["ChangedBlocks"]
    assert [it["BlockIndex"] for it in changed] == [1, 2]
    assert "FirstBlockToken" in changed[0]
    assert "FirstBlockToken" not in changed[1]
    old = lab.ebs().get_snapshot_block(SnapshotId=parent, BlockIndex=1, BlockToken=changed[0]["FirstBlockToken"])
    assert old["BlockData"].read() == block("b")


def test_snapshots_of_two_lineages_are_not_compared(lab: Lab) -> None:
    """UNRELATED_SNAPSHOTS, however alike they are."""
    with refused("ValidationException", reason="UNRELATED_SNAPSHOTS"):
        lab.ebs().list_changed_blocks(FirstSnapshotId=lab.snapshot(), SecondSnapshotId=lab.snapshot())
