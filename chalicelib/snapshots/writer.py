"""Writing one shard: its range of the image is read once, and every block goes out on one of many connections."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from chalicelib import aws
from chalicelib.errors import CloudBusy
from chalicelib.snapshots.blocks import BLOCK_SIZE, DIGEST_SIZE, SKIPPED, ZERO_BLOCK, Shard, cut

#: Connections to the EBS direct API in one function.  The service answers in some 20 ms, so that 32 of them keep one
#: vCPU busy with hashing; with one block each they hold 16 MiB.
CONNECTIONS = 32

#: How often one block is tried.  All shards of an image share 1,000 writes a second (a quota of the account), which they
#: reach together: a block that is throttled must not cost its whole shard.
TRIES = 8


def write_shard(ebs: aws.Client, snapshot_id: str, shard: Shard, chunks: Iterable[bytes], *, skip_zeros: bool) -> bytes:
    """Write a shard's blocks into a pending snapshot.

    Args:
        ebs: the EBS direct client of the snapshot's Region, with at least :data:`CONNECTIONS` connections.
        shard: which blocks.
        chunks: the shard's bytes of the image, in chunks of any length.
        skip_zeros: leave out blocks of zeros; a guest on an encrypted volume would read garbage there.

    Returns:
        the blocks' SHA-256 digests in order, 32 bytes each; :data:`SKIPPED` for a block that was left out.

    Raises:
        CloudBusy, CloudRefused: from PutSnapshotBlock; writing a block again is harmless.
        ValueError: the chunks hold more or fewer blocks than the shard.
    """
    digests = bytearray(SKIPPED * shard.count)
    count = 0
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        under_way: set[Future[None]] = set()
        for offset, block in enumerate(cut(chunks)):
            if offset >= shard.count:
                raise ValueError(f"the shard at block {shard.start} holds more than its {shard.count} blocks")
            count += 1
            if skip_zeros and block == ZERO_BLOCK:
                continue
            digest = hashlib.sha256(block).digest()
            digests[offset * DIGEST_SIZE : (offset + 1) * DIGEST_SIZE] = digest
            if len(under_way) >= CONNECTIONS:  # bounds the memory: never more blocks than connections
                under_way = _drain(under_way)
            under_way.add(pool.submit(_put, ebs, snapshot_id, shard.start + offset, block, digest))
        while under_way:
            under_way = _drain(under_way)
    if count != shard.count:
        raise ValueError(f"the shard at block {shard.start} holds {count} of its {shard.count} blocks")
    return bytes(digests)


def _drain(under_way: set[Future[None]]) -> set[Future[None]]:
    done, rest = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()  # raises what the block's thread raised
    return rest


def _put(ebs: aws.Client, snapshot_id: str, index: int, block: bytes, digest: bytes) -> None:
    for attempt in range(TRIES):
        if attempt:
            time.sleep(random.uniform(0, min(8, 0.5 * 2**attempt)))  # noqa: S311 - spreads writers out, keeps no secret
        try:
            ebs.put_snapshot_block(
                SnapshotId=snapshot_id,
                BlockIndex=index,
                BlockData=block,
                DataLength=BLOCK_SIZE,
                Checksum=base64.b64encode(digest).decode("ascii"),
                ChecksumAlgorithm="SHA256",
            )
        except CloudBusy:
            if attempt == TRIES - 1:
                raise
        else:
            return
