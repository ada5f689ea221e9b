"""Promises about shards: read once, brought into every Region's snapshot that lacks them, and known afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import PublicationState
from chalicelib.snapshots import shards, writer
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard
from chalicelib.snapshots.digests import Receipt, written
from chalicelib.snapshots.lifecycle import give_up
from tests.snapshots.bench import AWAY, HOME, REGIONS, Bench, disk, list_of, only, reader, refused, silent, starts

#: Three shards of the bench, the last of a block and a half.
CONTENT = disk("a", "b", "", "d", "e", "f", "g", "h", "i", "j")[: -BLOCK_SIZE // 2]


def test_a_shard_is_read_once_and_written_into_every_region(bench: Bench) -> None:
    """And the receipt says so, with its digests."""
    build = bench.build(CONTENT)
    for region in REGIONS:
        bench.snapshots(region).start(build, None)
    reads: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        reads.append((offset, length))
        return reader(CONTENT)(offset, length)

    assert replace(bench.writer(build, CONTENT), disk=read).write(4) == {}
    assert reads == [(4 * BLOCK_SIZE, 4 * BLOCK_SIZE)]
    assert all(sorted(bench.ebs(region).put) == [4, 5, 6, 7] for region in REGIONS)
    snapshots = frozenset(bench.publication(build, region).snapshot_id for region in REGIONS)
    assert bench.receipts(build).read() == [Receipt(4, list_of(CONTENT)[4 * 32 : 8 * 32], snapshots)]


def test_a_shard_that_is_run_again_neither_reads_nor_writes(bench: Bench) -> None:
    """What is known to be written stays as it is."""
    build = bench.build(CONTENT)
    for region in REGIONS:
        bench.snapshots(region).start(build, None)
    bench.writer(build, CONTENT).write(0)
    before = {region: list(bench.ebs(region).put) for region in REGIONS}
    assert bench.writer(build, b"unreadable").write(0) == {}
    assert {region: bench.ebs(region).put for region in REGIONS} == before


def test_a_shard_that_is_run_again_is_written_only_where_it_is_not_known_to_be(bench: Bench) -> None:
    """One Region failed the first time; the second run is for that Region alone."""
    build = bench.build(CONTENT)
    for region in REGIONS:
        bench.snapshots(region).start(build, None)
    bench.ebs(AWAY).before = silent
    assert set(bench.writer(build, CONTENT).write(0)) == {AWAY}
    before = {region: list(bench.ebs(region).put) for region in REGIONS}
    bench.ebs(AWAY).before = None
    bench.ebs(AWAY).calls.clear()
    assert bench.writer(build, CONTENT).write(0) == {}
    assert sorted(bench.ebs(AWAY).put) == [0, 1, 2, 3]
    for region in set(REGIONS) - {AWAY}:
        assert bench.ebs(region).put == before[region]
        assert written(bench.receipts(build).read(), bench.publication(build, region).snapshot_id) == {0}


def test_a_shard_that_died_before_its_receipt_is_written_again(bench: Bench) -> None:
    """What nobody knows of is done once more, and comes to the same."""
    build = bench.build(CONTENT)
    bench.snapshots(HOME).start(build, None)
    s3 = bench.watch(bench.s3)
    s3.before = only("put_object", silent)
    dying = replace(bench.writer(build, CONTENT), receipts=replace(bench.receipts(build), s3=s3))
    with pytest.raises(CloudBusy):
        dying.write(0)
    assert bench.receipts(build).read() == []
    publication = bench.write(build, CONTENT)
    assert bench.holds(publication, CONTENT)


def test_only_snapshots_that_are_being_written_get_blocks(bench: Bench) -> None:
    """Not a Region that is copied, that has its AMI, or has no snapshot; the digests are kept all the same."""
    build = bench.build(CONTENT)
    for region in (HOME, AWAY):
        bench.snapshots(region).start(build, None)
    bench.index.advance(build.id, HOME, PublicationState.REGISTERED, image_id="ami-1")
    give_up(bench.index, build, AWAY)
    assert bench.writer(build, CONTENT).write(0) == {}
    assert all(bench.ebs(region).put == [] for region in REGIONS)
    assert bench.receipts(build).read() == [Receipt(0, list_of(CONTENT)[: 4 * 32], frozenset())]


def test_only_blocks_that_differ_from_the_parents_are_written(bench: Bench) -> None:
    """By each Region's own parent: one chains, one is written in full, from the same reading."""
    bench.publish(CONTENT, "20261120")
    after = disk("a", "B", "", "", "e", "f", "g", "h", "i", "j", "k")
    build = bench.build(after, "20261121")
    lineages = bench.index.lineages(build.id.product)
    for region in (HOME, AWAY):
        bench.snapshots(region).start(build, lineages.get(region))
        bench.ebs(region).calls.clear()
    for start in starts(build):
        assert bench.writer(build, after).write(start) == {}
    assert sorted(bench.ebs(HOME).put) == [0, 1, 3, 9, 10]  # 9 was half a block, 10 is new
    assert sorted(bench.ebs(AWAY).put) == list(range(11))
    for region in (HOME, AWAY):
        bench.snapshots(region).complete(build, bench.receipts(build))
        assert bench.holds(bench.publication(build, region), after)


def test_a_parent_whose_digests_are_gone_stops_its_region(bench: Bench) -> None:
    """Nobody can say any more which blocks differ: better no snapshot than a wrong one."""
    bench.publish(CONTENT, "20261120")
    build = bench.build(CONTENT, "20261121")
    publication = bench.snapshots(HOME).start(build, bench.index.lineages(build.id.product)[HOME])
    assert publication.parent is not None
    bench.s3.delete_object(Bucket=bench.lists.bucket, Key=f"digests/{publication.parent.digest}")
    bench.ebs(HOME).calls.clear()
    with pytest.raises(CloudRefused, match="digests of 20261120 are gone"):
        bench.writer(build, CONTENT).catch_up(HOME)
    assert bench.ebs(HOME).put == []


def test_catching_up_writes_what_the_region_lacks(bench: Bench) -> None:
    """And nothing anywhere else."""
    build = bench.build(CONTENT)
    for region in REGIONS:
        bench.snapshots(region).start(build, None)
    bench.ebs(AWAY).before = silent
    bench.writer(build, CONTENT).write(0)
    bench.ebs(AWAY).before = None
    for start in (4, 8):
        bench.writer(build, CONTENT).write(start)
    before = list(bench.ebs(HOME).put)
    bench.ebs(AWAY).calls.clear()
    assert bench.writer(build, CONTENT).catch_up(AWAY)
    assert sorted(bench.ebs(AWAY).put) == [0, 1, 2, 3]
    assert bench.ebs(HOME).put == before
    assert bench.writer(build, b"unreadable").catch_up(AWAY), "there is nothing left to read for"


def test_catching_up_hands_over_when_it_has_taken_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has written until then is known to the next invocation."""
    build = bench.build(CONTENT)
    bench.snapshots(HOME).start(build, None)
    monkeypatch.setattr(shards, "ENOUGH", -1.0)
    assert not bench.writer(build, CONTENT).catch_up(HOME)
    monkeypatch.setattr(shards, "ENOUGH", 400.0)
    assert bench.writer(build, CONTENT).catch_up(HOME)
    assert written(bench.receipts(build).read(), bench.publication(build).snapshot_id) == set(starts(build))


def test_catching_up_says_why_the_region_takes_no_blocks(bench: Bench) -> None:
    """So that the state machine can try again, or have the AMI copied."""
    build = bench.build(CONTENT)
    bench.snapshots(HOME).start(build, None)
    bench.ebs(HOME).before = only("put_snapshot_block", refused("AccessDeniedException"))
    with pytest.raises(CloudRefused, match="AccessDeniedException"):
        bench.writer(build, CONTENT).catch_up(HOME)


def test_a_region_that_is_not_written_has_nothing_to_catch_up_with(bench: Bench) -> None:
    """It is copied, or there already."""
    build = bench.build(CONTENT)
    assert bench.writer(build, b"unreadable").catch_up(HOME)


def test_lost_answers_leave_the_same_snapshot(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other block's answer is lost after it took effect: each is put again, and the disk is the same."""
    monkeypatch.setattr(writer.random, "uniform", lambda _least, _most: 0)
    build = bench.build(CONTENT)
    lost: set[int] = set()

    def lose(action: str, parameters: dict[str, int]) -> None:
        index = parameters.get("BlockIndex", 1)
        if action == "put_snapshot_block" and index % 2 == 0 and index not in lost:
            lost.add(index)
            raise CloudBusy("the connection broke", code="InternalServerException")

    bench.ebs(HOME).after = lose
    assert bench.holds(bench.write(build, CONTENT), CONTENT)
    assert lost == {0, 2, 4, 6, 8}


def test_what_is_left_to_write_is_what_some_snapshot_lacks_or_nobody_has_read(bench: Bench) -> None:
    """A shard of which all is known is not handed out again."""
    build = bench.build(CONTENT)
    for region in (HOME, AWAY):
        bench.snapshots(region).start(build, None)
    publications = bench.index.publications(build.id)
    ids = {each.region: each.snapshot_id for each in publications}
    receipts = [
        Receipt(0, b"", frozenset(ids.values()) - {""}),
        Receipt(4, b"", frozenset({ids[HOME]})),
    ]
    assert shards.unwritten(build, publications, receipts) == [Shard(4, 4), Shard(8, 2)]
    receipts += [Receipt(4, b"", frozenset({ids[AWAY]})), Receipt(8, b"", frozenset({ids[HOME], ids[AWAY]}))]
    assert shards.unwritten(build, publications, receipts) == []


def test_the_digest_list_is_put_together_once_all_shards_are_read(bench: Bench) -> None:
    """In the order of the disk, whichever was read first; then it stands, with or without receipts."""
    build = bench.build(CONTENT)
    receipts = bench.receipts(build)
    for start in (8, 0):
        bench.writer(build, CONTENT).write(start)
        assert shards.join(build, bench.lists, receipts) is None
    bench.writer(build, CONTENT).write(4)
    assert shards.join(build, bench.lists, receipts) == list_of(CONTENT)
    assert bench.lists.read(build.digest) == list_of(CONTENT)
    nobody = replace(receipts, digest="another")
    assert shards.join(build, bench.lists, nobody) == list_of(CONTENT)
