"""Promises of the block arithmetic."""

from __future__ import annotations

import base64
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.snapshots.blocks import (
    AT_ONCE,
    BLOCK_SIZE,
    DIGEST_SIZE,
    GIB,
    LARGEST_SHARD,
    SMALLEST_SHARD,
    ZERO_BLOCK,
    ZERO_DIGEST,
    block_count,
    cut,
    digest,
    digests,
    linear_checksum,
    shards,
    to_write,
    volume_gib,
)

#: What a block holds, in a word: 0 is zeros.
Disk = list[int]
DISKS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def digest_list(disk: Disk) -> bytes:
    """The digests of a disk, some made up."""
    return b"".join(bytes([each]) * DIGEST_SIZE if each else ZERO_DIGEST for each in disk)


def naive(parent: Disk | None, disk: Disk, written: list[int]) -> list[int | None]:
    """What a snapshot holds after the blocks were written over its parent; None is a block that nobody has ever written."""
    holds: list[int | None] = list(parent or [])
    holds += [None] * (len(disk) - len(holds))
    for position in written:
        holds[position] = disk[position]
    return holds


@given(st.integers(1, 1 << 41))
def test_shards_cover_every_block_once_and_in_order(size: int) -> None:
    """Whatever the image's size, its shards leave no gap, do not overlap, and each fits into a function's memory."""
    planned = shards(size)
    edges = [(shard.start, shard.start + shard.count) for shard in planned]
    assert edges[0][0] == 0
    assert edges[-1][1] == block_count(size)
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(edges))
    assert all(1 <= shard.count <= LARGEST_SHARD for shard in planned)


def test_large_disks_have_fewer_larger_shards() -> None:
    """Up to the largest shard that fits; a disk of the usual size is spread over many functions."""
    assert {shard.count for shard in shards(8 * GIB)[:-1]} == {66}
    assert len(shards(8 * GIB)) <= AT_ONCE
    assert [shard.count for shard in shards(16 * 1024**2)] == [SMALLEST_SHARD] * 4
    assert len(shards(125 * GIB)) == 1000
    assert shards(1024 * GIB)[0].count == LARGEST_SHARD


@given(st.integers(0, 4), st.integers(1, BLOCK_SIZE))
def test_bytes_become_whole_blocks_of_the_same_bytes(whole: int, rest: int) -> None:
    """They come out as they went in, and only the last block is padded, with zeros."""
    data = b"".join(bytes([number + 1]) * BLOCK_SIZE for number in range(whole)) + b"\xff" * rest
    blocks = cut(data)
    assert [len(block) for block in blocks] == [BLOCK_SIZE] * block_count(len(data))
    assert b"".join(blocks) == data.ljust(len(blocks) * BLOCK_SIZE, b"\0")


def test_blocks_of_zeros_are_one_object_and_cost_no_hashing() -> None:
    """So that a sparse disk costs a function neither memory nor time; the padded end may be one, too."""
    blocks = cut(bytes(BLOCK_SIZE) + b"x" + bytes(BLOCK_SIZE + 7))
    assert [block is ZERO_BLOCK for block in blocks] == [True, False, True]
    assert digests(blocks) == b"".join(hashlib.sha256(block).digest() for block in blocks)


def test_beyond_its_end_a_digest_list_is_empty() -> None:
    """Which is how a block that the parent's disk does not have is told from any other."""
    there = digest_list([1, 2])
    assert [digest(there, position) for position in range(3)] == [b"\1" * 32, b"\2" * 32, b""]


@given(DISKS)
def test_without_a_parent_every_block_is_written(disk: Disk) -> None:
    """Zeros included: a block never written reads as garbage where the AMI is launched with encryption."""
    assert list(to_write(digest_list(disk), None, skip_zeros=False)) == list(range(len(disk)))


@given(DISKS)
def test_zeros_that_are_skipped_are_all_that_is_left_out(disk: Disk) -> None:
    """On a plain volume the result reads the same; the first block is there in any case."""
    written = list(to_write(digest_list(disk), None, skip_zeros=True))
    assert written == [position for position, each in enumerate(disk) if each or position == 0]


@given(DISKS, DISKS)
def test_written_over_the_parent_the_blocks_give_the_disk_exactly(parent: Disk, disk: Disk) -> None:
    """No block is left as the parent had it, none is left unwritten, and nothing is sent that is there already."""
    parent = parent[: len(disk)]  # a parent with a larger disk is never chained to
    written = list(to_write(digest_list(disk), digest_list(parent), skip_zeros=False))
    assert naive(parent, disk, written) == disk
    assert written == sorted(set(written))
    assert all(position == 0 or parent[position : position + 1] != [disk[position]] for position in written)


@given(DISKS, DISKS, st.booleans())
def test_with_zeros_skipped_the_disk_reads_the_same(parent: Disk, disk: Disk, holes: bool) -> None:
    """Whether the parent was written with its zeros or with holes in their place: what was not zero there is overwritten."""
    parent = parent[: len(disk)]
    over = naive(None, parent, list(to_write(digest_list(parent), None, skip_zeros=holes)))
    written = list(to_write(digest_list(disk), digest_list(parent), skip_zeros=True))
    for position in range(len(disk)):
        there = over[position] if position < len(over) else None
        assert ((disk[position] if position in written else there) or 0) == disk[position]
    assert all(position == 0 or disk[position] or parent[position] for position in written)


@given(DISKS, DISKS, st.integers(1, 5), st.booleans())
def test_a_shard_alone_and_the_whole_disk_come_to_the_same(parent: Disk, disk: Disk, size: int, skip: bool) -> None:
    """The writers decide by shard, the checksum by the whole list: they must not disagree on a single block."""
    now, before = digest_list(disk), digest_list(parent[: len(disk)])
    part = [(now[at : at + size * 32], before[at : at + size * 32], at // 32) for at in range(0, len(now), size * 32)]
    by_shard = [start + each for one, two, start in part for each in to_write(one, two, skip_zeros=skip, start=start)]
    assert by_shard == list(to_write(now, before, skip_zeros=skip))


@pytest.mark.parametrize("skip", [True, False])
def test_the_first_block_is_always_written(skip: bool) -> None:
    """Also where nothing has changed, and where it is zeros: a snapshot with nothing in it is nowhere described."""
    assert list(to_write(digest_list([1, 2]), digest_list([1, 2]), skip_zeros=skip)) == [0]
    assert list(to_write(digest_list([0, 0]), digest_list([0, 0]), skip_zeros=skip)) == [0]


def test_the_linear_checksum_is_the_hash_of_the_hashes_in_order() -> None:
    """It is computed as the EBS user guide describes it, over the digests and not over the data."""
    parts = [hashlib.sha256(data).digest() for data in (b"a", b"b")]
    assert base64.b64decode(linear_checksum(parts)) == hashlib.sha256(parts[0] + parts[1]).digest()
    assert linear_checksum(reversed(parts)) != linear_checksum(parts)


def test_a_volume_is_never_smaller_than_its_image() -> None:
    """One byte over a GiB needs the next GiB; nothing is smaller than one."""
    assert [volume_gib(size) for size in (1, GIB, GIB + 1)] == [1, 1, 2]
