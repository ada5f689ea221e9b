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
#: The block that a writer may be told to leave out.
ZERO_BLOCK = bytes(BLOCK_SIZE)
#: Stands in a digest list for a block that was left out; no block has this digest.
SKIPPED = bytes(DIGEST_SIZE)
#: Blocks a shard: 256 MiB, half a minute of one function's network, and few enough shards for one Map's history.
SHARD_BLOCKS = 512

GIB = 1024**3


@dataclass(frozen=True)
class Shard:
    """``count`` blocks of the image from block ``start`` on: what one function invocation writes."""

    start: int
    count: int


def block_count(image_size: int) -> int:
    """How many blocks an image of ``image_size`` bytes fills; the last one is padded with zeros."""
    return -(-image_size // BLOCK_SIZE)


def volume_gib(image_size: int) -> int:
    """The smallest volume that holds the image, in GiB, as StartSnapshot wants it."""
    return max(1, -(-image_size // GIB))


def shards(image_size: int, blocks: int = SHARD_BLOCKS) -> list[Shard]:
    """Cut an image of ``image_size`` bytes into shards that cover it without gap or overlap."""
    total = block_count(image_size)
    return [Shard(start, min(blocks, total - start)) for start in range(0, total, blocks)]


def cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of chunks of any length into whole blocks; the last one is padded with zeros."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= BLOCK_SIZE:
            yield bytes(pending[:BLOCK_SIZE])
            del pending[:BLOCK_SIZE]
    if pending:
        yield bytes(pending.ljust(BLOCK_SIZE, b"\0"))


def written(digests: bytes) -> list[bytes]:
    """The digests of the blocks that were written, from a digest list that also holds :data:`SKIPPED` ones."""
    each = (digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE))
    return [digest for digest in each if digest != SKIPPED]


def linear_checksum(digests: Iterable[bytes]) -> str:
    """CompleteSnapshot's LINEAR checksum: SHA-256 over the blocks' digests in the order of their index, base64."""
    return base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode("ascii")
