"""One shard of a build: read once, and brought into every Region's snapshot that lacks it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chalicelib import aws
from chalicelib.errors import CloudError, CloudRefused
from chalicelib.index.records import BuildRecord, Method, Parent, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.snapshots import writer
from chalicelib.snapshots.blocks import AT_ONCE, BLOCK_SIZE, Shard, cut, digests, shards, to_write
from chalicelib.snapshots.digests import DigestLists, Receipt, Receipts, written

#: Reads so many bytes of the disk from an offset on; fewer at its end.
ReadDisk = Callable[[int, int], bytes]

#: Blocks a second to a Region that catches up: what one function's network carries.
CATCHING_UP = 140.0

#: Seconds after which catching up hands over to another invocation; one shard more must still fit into the function's 900.
ENOUGH = 400.0


@dataclass(frozen=True)
class ShardWriter:
    """Writes the shards of one build.

    Args:
        lists, receipts: what is known of blocks; ``receipts`` are this build's.
        disk: reads the disk of the build's image.
        ebs: makes an EBS direct client for a Region.
        skip_zeros: the stream's choice, see :func:`chalicelib.snapshots.blocks.to_write`.
    """

    index: Index
    lists: DigestLists
    receipts: Receipts
    record: BuildRecord
    disk: ReadDisk
    ebs: Callable[[str], aws.Client]
    skip_zeros: bool

    def write(self, start: int) -> dict[str, CloudError]:
        """Write the shard that begins at block ``start`` into every Region's snapshot that lacks it, and leave a receipt.

        Returns:
            the Regions that fell behind, and why.

        Raises:
            CloudBusy, CloudRefused: the image cannot be read, or the receipt not be left.
            BuildRefused: the image does not hold what it should.
        """
        # Each keeps to its part of every Region's limit, so that all together keep to the whole.
        return self._write(self._shard(start), self._writing(), writer.PUTS_PER_SECOND / AT_ONCE)

    def catch_up(self, region: str) -> bool:
        """Write the shards that one Region's snapshot lacks, for as long as one invocation may take.

        Returns:
            whether nothing is missing any more.

        Raises:
            CloudBusy, CloudRefused: the Region takes no blocks, or as :meth:`write`.
        """
        mine = [each for each in self._writing() if each.region == region]
        if not mine:
            return True
        there = written(self.receipts.read(), mine[0].snapshot_id)
        begun = time.monotonic()
        for shard in self._shards():
            if shard.start in there:
                continue
            if time.monotonic() - begun > ENOUGH:
                return False
            for trouble in self._write(shard, mine, CATCHING_UP).values():
                raise trouble
        return True

    def _shards(self) -> list[Shard]:
        return shards(self.record.disk_size)

    def _shard(self, start: int) -> Shard:
        return next(shard for shard in self._shards() if shard.start == start)

    def _writing(self) -> list[Publication]:
        return [each for each in self.index.publications(self.record.id) if is_writing(each)]

    def _write(self, shard: Shard, publications: Iterable[Publication], rate: float) -> dict[str, CloudError]:
        receipts = self.receipts.read(shard)
        lacking = [each for each in publications if shard.start not in written(receipts, each.snapshot_id)]
        if receipts and not lacking:
            return {}
        blocks = cut(self.disk(shard.start * BLOCK_SIZE, shard.count * BLOCK_SIZE))
        digest_list = digests(blocks)
        targets = self._targets(shard, digest_list, lacking)
        outcome = writer.write(targets, shard, blocks, digest_list, rate=rate)
        done = frozenset(snapshot for snapshot, trouble in outcome.items() if trouble is None)
        self.receipts.put(Receipt(shard.start, digest_list, done))
        troubles = {each.region: outcome[each.snapshot_id] for each in lacking}
        return {region: trouble for region, trouble in troubles.items() if trouble is not None}

    def _targets(self, shard: Shard, digest_list: bytes, lacking: list[Publication]) -> list[writer.Target]:
        before = {parent: parent_list(self.lists, parent, shard) for parent in {each.parent for each in lacking}}
        positions = {
            parent: list(to_write(digest_list, there, skip_zeros=self.skip_zeros, start=shard.start))
            for parent, there in before.items()
        }
        return [writer.Target(self.ebs(each.region), each.snapshot_id, positions[each.parent]) for each in lacking]


def is_writing(publication: Publication) -> bool:
    """Whether blocks are to be written for the publication."""
    state, method = publication.state, publication.method
    return state is PublicationState.WRITING and method is Method.WRITE and bool(publication.snapshot_id)


def unwritten(record: BuildRecord, publications: Iterable[Publication], receipts: Iterable[Receipt]) -> list[Shard]:
    """The shards that some snapshot lacks, and those that nobody has read yet."""
    found = list(receipts)
    seen = {receipt.start for receipt in found}
    complete = [seen, *(written(found, each.snapshot_id) for each in publications if is_writing(each))]
    return [shard for shard in shards(record.disk_size) if any(shard.start not in each for each in complete)]


def parent_list(lists: DigestLists, parent: Parent | None, shard: Shard | None = None) -> bytes | None:
    """The digest list of the disk that a snapshot is chained to, or a shard's part of it; None without a parent.

    Raises:
        CloudRefused: the list is gone, so that nobody can say any more which blocks differ.
    """
    if parent is None:
        return None
    found = lists.read(parent.digest, shard)
    if found is None:
        raise CloudRefused(
            f"The block digests of {parent.serial} are gone, to which {parent.snapshot_id} belongs.", code="NoDigests"
        )
    return found


def join(record: BuildRecord, lists: DigestLists, receipts: Receipts) -> bytes | None:
    """The digest list of the whole disk, put together from the shards' if it has to be; None while a shard is not read.

    Raises:
        CloudBusy, CloudRefused: from S3.
    """
    there = lists.read(record.digest)
    if there is not None:
        return there
    parts = {receipt.start: receipt.digests for receipt in receipts.read()}
    planned = shards(record.disk_size)
    if any(shard.start not in parts for shard in planned):
        return None
    joined = b"".join(parts[shard.start] for shard in planned)
    lists.put(record.digest, joined)
    return joined
