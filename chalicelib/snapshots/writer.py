"""Writing one shard into the snapshots of many Regions at once: its blocks are in memory, every Region has its own pace."""

from __future__ import annotations

import base64
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

from chalicelib import aws
from chalicelib.errors import CloudBusy, CloudError, CloudSilent
from chalicelib.snapshots import lane
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard, digest
from chalicelib.snapshots.pace import Pace

#: Connections to the EBS direct API in one function: enough to keep one vCPU busy with hashing and TLS when they all go to
#: one Region, and enough to fill a function's network when each of many Regions, some of them far away, has a few.
CONNECTIONS, PER_REGION = 32, 4

#: Seconds that a block's answer may take, and how often botocore asks for it, after a first time without it: a Region that is
#: down must be found out soon.
READ_TIMEOUT, ATTEMPTS = 10, 1

#: PutSnapshotBlock calls a second that EBS takes from an account in one Region, and for one snapshot (a quota).
PUTS_PER_SECOND = 1000

#: How often one block is tried.  A block that is throttled must not cost its whole shard.
TRIES = 8

#: Seconds for which the slower half of the Regions may keep a shard after the faster half is through.  Who needs longer is
#: left behind, and catches up alone.
PATIENCE = 30.0


@dataclass(frozen=True)
class Target:
    """A Region's pending snapshot, and the positions of those of the shard's blocks that it needs."""

    ebs: aws.Client
    snapshot_id: str
    positions: Sequence[int]


def connections(regions: int) -> int:
    """How many connections to each of so many Regions."""
    return max(PER_REGION, CONNECTIONS // max(1, regions))


def write(
    targets: Sequence[Target], shard: Shard, blocks: Sequence[bytes], digest_list: bytes, *, rate: float = PUTS_PER_SECOND
) -> dict[str, CloudError | None]:
    """Put the shard's blocks into all snapshots.  Writing a block again is harmless.

    Args:
        targets: with EBS direct clients that have :func:`connections` connections.
        shard: which blocks of the disk these are.
        blocks: their content.
        digest_list: their SHA-256 digests: one for all Regions.
        rate: calls a second to each Region.

    Returns:
        by snapshot id: None where everything is written; else what stopped it, for a Region that was merely slow
        :class:`CloudBusy`.
    """
    sends = [_Send(target, shard, blocks, digest_list, rate) for target in targets]
    threads = connections(len(sends))
    with ThreadPoolExecutor(max(1, len(sends) * threads)) as pool:
        under_way = {pool.submit(send.work) for send in sends for _ in range(threads)}
        begun, deadline = time.monotonic(), None
        while under_way:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            _, under_way = wait(under_way, timeout=left, return_when=FIRST_COMPLETED)
            if deadline is None and sum(send.over for send in sends) * 2 >= len(sends):
                now = time.monotonic()
                deadline = now + max(PATIENCE, now - begun)
        for send in sends:
            send.stop()
    return {send.target.snapshot_id: send.trouble for send in sends}


class _Send:
    """One shard on its way to one Region, on several threads."""

    def __init__(self, target: Target, shard: Shard, blocks: Sequence[bytes], digest_list: bytes, rate: float) -> None:
        self.target, self.shard, self.blocks, self.digest_list = target, shard, blocks, digest_list
        self.lane = lane.of(target.ebs)
        self.trouble: CloudError | None = None
        self._given_up = threading.Event()  # wakes the threads that wait for their turn, so that they hold up nobody
        self._pace = Pace(rate, sleep=self._given_up.wait)
        self._lock = threading.Lock()
        self._waiting = iter(target.positions)
        self._unwritten = len(target.positions)

    @property
    def over(self) -> bool:
        """Whether nothing more happens: all is written, or it was given up."""
        return self._unwritten == 0 or self.trouble is not None

    def stop(self) -> None:
        """Begin no other call."""
        if not self.over:
            region = self.target.ebs.region
            self._give_up(
                CloudBusy(
                    f"{region} takes the blocks of {self.target.snapshot_id} more slowly than the other Regions.",
                    code="Behind",
                    region=region,
                )
            )

    def work(self) -> None:
        """One thread's part: block after block, until none is left or one cannot be written."""
        while self.trouble is None:
            with self._lock:
                position = next(self._waiting, None)
            if position is None:
                return
            try:
                written = self._put(position)
            except CloudError as error:
                self._give_up(error)
                return
            with self._lock:
                self._unwritten -= written

    def _give_up(self, trouble: CloudError) -> None:
        with self._lock:
            self.trouble = self.trouble or trouble
        self._given_up.set()

    def _put(self, position: int) -> bool:
        """Write one block; False if the shard is given up meanwhile."""
        checksum = base64.b64encode(digest(self.digest_list, position)).decode("ascii")
        for attempt in range(1, TRIES + 1):
            self._pace.turn()
            if self._given_up.is_set():
                return False
            try:
                if attempt > 1 or not self._put_quickly(position, checksum):
                    self.target.ebs.put_snapshot_block(
                        SnapshotId=self.target.snapshot_id,
                        BlockIndex=self.shard.start + position,
                        BlockData=self.blocks[position],
                        DataLength=BLOCK_SIZE,
                        Checksum=checksum,
                        ChecksumAlgorithm="SHA256",
                    )
            except CloudBusy as error:
                # A silent Region was already asked twice: not to hold up the others, it is left behind at once.
                if attempt == TRIES or isinstance(error, CloudSilent):
                    raise
                if "Thrott" in error.code or error.code == "RequestLimitExceeded":
                    self._pace.throttled()
                self._given_up.wait(random.uniform(0, min(8, 0.5 * 2**attempt)))  # noqa: S311 - spreads writers out
            else:
                self._pace.taken()
                return True
        raise AssertionError("unreachable")  # pragma: no cover - the last try returns or raises

    def _put_quickly(self, position: int, checksum: str) -> bool:
        """Whether EBS took the block without botocore's help."""
        if self.lane is None:
            return False
        return self.lane.put(self.target.snapshot_id, self.shard.start + position, self.blocks[position], checksum)
