"""Promises of the block arithmetic."""

import base64
import hashlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.snapshots.blocks import (
    BLOCK_SIZE,
    SKIPPED,
    block_count,
    cut,
    linear_checksum,
    shards,
    volume_gib,
    written,
)


@given(st.integers(1, 1 << 45), st.integers(1, 100_000))
def test_shards_cover_every_block_once_and_in_order(size: int, blocks: int) -> None:
    """Whatever the image's size, its shards leave no gap and do not overlap."""
    size = min(size, blocks * 200 * BLOCK_SIZE)
    planned = shards(size, blocks)
    edges = [(shard.start, shard.start + shard.count) for shard in planned]
    assert edges[0][0] == 0
    assert edges[-1][1] == block_count(size)
    assert all(one[1] == next_one[0] for one, next_one in itertools.pairwise(edges))
    assert all(1 <= shard.count <= blocks for shard in planned)


@given(st.lists(st.integers(1, BLOCK_SIZE * 2), max_size=6))
def test_any_chunks_become_whole_blocks_of_the_same_bytes(lengths: list[int]) -> None:
    """The bytes come out as they went in, and only the last block is padded, with zeros."""
    chunks = [bytes([number + 1]) * length for number, length in enumerate(lengths)]
    whole = b"".join(chunks)
    blocks = list(cut(chunks))
    assert all(len(block) == BLOCK_SIZE for block in blocks)
    assert len(blocks) == block_count(len(whole))
    assert b"".join(blocks) == whole.ljust(len(blocks) * BLOCK_SIZE, b"\0")


def test_the_linear_checksum_is_the_hash_of_the_hashes_in_order() -> None:
    """It is computed as the EBS user guide describes it, over the digests and not over the data."""
    digests = [hashlib.sha256(data).digest() for data in (b"a", b"b")]
    expected = hashlib.sha256(digests[0] + digests[1]).digest()
    assert base64.b64decode(linear_checksum(digests)) == expected
    assert linear_checksum(reversed(digests)) != linear_checksum(digests)


def test_blocks_that_were_left_out_do_not_count() -> None:
    """The checksum and ChangedBlocksCount speak of written blocks only."""
    digest = hashlib.sha256(b"a").digest()
    assert written(SKIPPED + digest + SKIPPED) == [digest]


def test_a_volume_is_never_smaller_than_its_image() -> None:
    """One byte over a GiB needs the next GiB; nothing is smaller than one."""
    assert [volume_gib(size) for size in (1, 1 << 30, (1 << 30) + 1)] == [1, 1, 2]
