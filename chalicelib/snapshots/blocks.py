"""Blocks, shards and checksums: the arithmetic of a snapshot, without I/O.

Source of the rules: "Use EBS direct APIs to access the contents of an EBS snapshot", EBS user guide.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Bytes in a block.  PutSnapshotBlock takes nothing else.
BLOCK_SIZE = 512 * 1024
#: Bytes of a SHA-256 digest.
DIGEST_SIZE = 32
ZERO_BLOCK = bytes(BLOCK_SIZE)
ZERO_DIGEST = hashlib.sha256(ZERO_BLOCK).digest()

#: Shards that are written at once, of all builds: the concurrency that is reserved for the writing function.  A disk is cut
#: into as many, so that one build alone can be written in one round: 8 GiB in shards of 32 MiB, which sent to 34 Regions make
#: a gigabyte, a quarter of a minute of one function's network.
AT_ONCE = 250
#: Blocks in the smallest shard, so that a function does not start for next to nothing, and in the largest, 128 MiB, which is
#: what it can hold in memory.
SMALLEST_SHARD, LARGEST_SHARD = 8, 256

GIB = 1024**3


@dataclass(frozen=True)
class Shard:
    """``count`` blocks of the disk from block ``start`` on: what one function invocation reads, and writes everywhere."""

    start: int
    count: int


def block_count(disk_size: int) -> int:
    """How many blocks a disk of ``disk_size`` bytes fills; the last one is padded with zeros."""
    return -(-disk_size // BLOCK_SIZE)


def volume_gib(disk_size: int) -> int:
    """The smallest volume that holds the disk, in GiB, as StartSnapshot wants it."""
    return max(1, -(-disk_size // GIB))


def shards(disk_size: int) -> list[Shard]:
    """Cut a disk of ``disk_size`` bytes into shards that cover it without gap or overlap."""
    total = block_count(disk_size)
    blocks = min(LARGEST_SHARD, max(SMALLEST_SHARD, -(-total // AT_ONCE)))
    return [Shard(start, min(blocks, total - start)) for start in range(0, total, blocks)]


def cut(data: bytes) -> list[bytes]:
    """Cut a shard's bytes into whole blocks, the last one padded with zeros; blocks of zeros are all the same object."""
    blocks = (data[at : at + BLOCK_SIZE] for at in range(0, len(data), BLOCK_SIZE))
    padded = (block.ljust(BLOCK_SIZE, b"\0") for block in blocks)
    return [ZERO_BLOCK if block == ZERO_BLOCK else block for block in padded]


def digests(blocks: Iterable[bytes]) -> bytes:
    """The blocks' SHA-256 digests, 32 bytes each, joined: a digest list."""
    return b"".join(ZERO_DIGEST if block is ZERO_BLOCK else hashlib.sha256(block).digest() for block in blocks)


def digest(digest_list: bytes, position: int) -> bytes:
    """The digest at ``position``; empty beyond the list's end."""
    return digest_list[position * DIGEST_SIZE : (position + 1) * DIGEST_SIZE]


def to_write(digest_list: bytes, parent: bytes | None, *, skip_zeros: bool, start: int = 0) -> Iterator[int]:
    """Which blocks a snapshot needs to hold the disk.

    Args:
        digest_list: digests of consecutive blocks of the disk.
        parent: those of the disk in the parent snapshot, at the same blocks; a block beyond its end was never written there.
            None: there is no parent.
        skip_zeros: leave out blocks of zeros where nothing was ever written.  They read as zeros on a plain volume, but as
            garbage where the AMI is launched with encryption.
        start: the block of the disk that the lists begin with.

    Yields:
        positions in ``digest_list``, in order.  The disk's first block is always among them: nobody says what EBS makes of a
        snapshot into which nothing was written.
    """
    for position in range(len(digest_list) // DIGEST_SIZE):
        now, before = digest(digest_list, position), digest(parent or b"", position)
        wanted = now != before and (before or not skip_zeros or now != ZERO_DIGEST)
        if wanted or start + position == 0:
            yield position


def linear_checksum(digest_lists: Iterable[bytes]) -> str:
    """CompleteSnapshot's LINEAR checksum: SHA-256 over the written blocks' digests in the order of their index, base64."""
    return base64.b64encode(hashlib.sha256(b"".join(digest_lists)).digest()).decode("ascii")
