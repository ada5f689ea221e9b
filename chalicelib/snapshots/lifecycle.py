"""Starting and completing the snapshot of a build in one Region.  Look first, then act: every step may come twice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Unpack

from chalicelib import aws
from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import BuildRecord, Lineage, Method, Parent, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.index.transitions import Facts
from chalicelib.names import TAG_DIGEST, client_token
from chalicelib.snapshots.blocks import block_count, digest, linear_checksum, shards, to_write, volume_gib
from chalicelib.snapshots.digests import DigestLists, Receipts, written
from chalicelib.snapshots.shards import join, parent_list

#: Minutes that EBS keeps a pending snapshot to which no block is written (StartSnapshot allows 10 to 4320).
TIMEOUT_MINUTES = 6 * 60

#: Begins the description of every snapshot that we write; a copied AMI's has EC2's own.
DESCRIPTION = "Broadside"

#: A publication in one of these states has an AMI: its snapshot is of no concern any more.
HAS_IMAGE = frozenset({PublicationState.REGISTERED, PublicationState.STAGED, PublicationState.PUBLIC})


class Progress(StrEnum):
    """What completing a snapshot answers to the state machine."""

    BEHIND = "behind"  # something is not written yet
    READY = "ready"  # sealed: EBS is completing it, or has
    COPY = "copy"  # there is none to complete: the AMI is copied from home


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of builds in one Region.

    Args:
        skip_zeros: the stream's choice, see :func:`chalicelib.snapshots.blocks.to_write`.
    """

    index: Index
    ec2: aws.Client
    ebs: aws.Client
    lists: DigestLists
    skip_zeros: bool

    @property
    def region(self) -> str:
        return self.ec2.region

    def start(self, record: BuildRecord, lineage: Lineage | None) -> Publication:
        """Make sure that the build has a snapshot in this Region.

        Args:
            lineage: what the product's next snapshot here can be chained to.

        Returns:
            the publication, whose snapshot is pending or complete; or which has its AMI already, or is to have a copied one.

        Raises:
            CloudBusy, CloudRefused: from EC2 and the EBS direct API.
        """
        publication = self.index.publication(record.id, self.region)
        if publication.state in HAS_IMAGE or publication.method is Method.COPY:
            return publication
        snapshot = self._find(record.digest, publication.snapshot_id)
        if snapshot is not None and not _is_usable(snapshot, publication):
            # A new one under a new token takes its place.
            publication = self._next_attempt(record, publication)
            self.ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
            snapshot = None
        elif snapshot is None and publication.snapshot_id:
            self._expect_gone(publication)
            publication = self._next_attempt(record, publication)
        elif snapshot is None and publication.parent is not None and not self._can_be_parent(publication.parent):
            # It went after it was chosen, and with it the token's call.
            publication = self._next_attempt(record, publication)
        if snapshot is None:
            snapshot = self._create(record, publication, lineage)
        return self._advance(record, method=Method.WRITE, snapshot_id=str(snapshot["SnapshotId"]))

    def complete(self, record: BuildRecord, receipts: Receipts) -> Progress:
        """Seal the snapshot with the number of blocks and the checksum over all that were written, which EBS checks.

        The snapshot stays pending for a while afterwards.  Completing it twice does no harm.

        Raises:
            CloudRefused: EBS found another checksum.
            CloudBusy: EBS or S3 is not to be reached.
        """
        publication = self.index.publication(record.id, self.region)
        snapshot_id = publication.snapshot_id
        if publication.method is Method.COPY:
            return Progress.COPY
        if publication.state in HAS_IMAGE:
            return Progress.READY
        state = self._state(snapshot_id) if snapshot_id else ""
        if state == "completed":
            return Progress.READY
        if state != "pending":
            return Progress.BEHIND
        there = written(receipts.read(), snapshot_id)
        digest_list = join(record, self.lists, receipts)
        if digest_list is None or any(shard.start not in there for shard in shards(record.disk_size)):
            return Progress.BEHIND
        before = parent_list(self.lists, publication.parent)
        sent = [digest(digest_list, position) for position in to_write(digest_list, before, skip_zeros=self.skip_zeros)]
        self._advance(record, blocks_written=len(sent), blocks=block_count(record.disk_size))
        self._seal(snapshot_id, sent)
        return Progress.READY

    def _seal(self, snapshot_id: str, digests: list[bytes]) -> None:
        try:
            self.ebs.complete_snapshot(
                SnapshotId=snapshot_id,
                ChangedBlocksCount=len(digests),
                Checksum=linear_checksum(digests),
                ChecksumAlgorithm="SHA256",
                ChecksumAggregationMethod="LINEAR",
            )
        except CloudRefused as error:
            # Undocumented: what a second CompleteSnapshot answers once the first one was heard.  The snapshot may stay
            # pending for minutes then, so that only time tells this from a checksum that does not fit.
            state = self._state(snapshot_id)
            if state == "pending" and error.code == "ValidationException":
                raise CloudBusy(str(error), code=error.code, action=error.action, region=error.region) from error
            if state != "completed":
                raise

    def _create(self, record: BuildRecord, publication: Publication, lineage: Lineage | None) -> dict[str, Any]:
        # The choice is on record before EC2 hears of it, since the token stands for this call with this parent.
        if publication.method is not Method.WRITE:
            publication = self._advance(record, method=Method.WRITE, parent=self._parent(record, lineage))
        chained = {} if publication.parent is None else {"ParentSnapshotId": publication.parent.snapshot_id}
        started = self.ebs.start_snapshot(
            VolumeSize=volume_gib(record.disk_size),
            Tags=[{"Key": key, "Value": value} for key, value in record.id.tags(record.digest).items()],
            Description=_description(publication),
            ClientToken=client_token(record.digest, self.region, publication.attempt),
            Timeout=TIMEOUT_MINUTES,
            **chained,
        )
        return {"SnapshotId": started["SnapshotId"], "State": started["Status"]}

    def _parent(self, record: BuildRecord, lineage: Lineage | None) -> Parent | None:
        """The parent, if chaining to it gives the very disk: nothing of it lies beyond our end, and no hole is inherited."""
        if lineage is None or lineage.disk_size > record.disk_size or (lineage.zeros_skipped and not self.skip_zeros):
            return None
        return lineage.parent if self._can_be_parent(lineage.parent) else None

    def _can_be_parent(self, parent: Parent) -> bool:
        """Whether EBS takes the snapshot as a parent of a plain one, and its blocks' digests are known."""
        ids = [{"Name": "snapshot-id", "Values": [parent.snapshot_id]}]
        found = list(self.ec2.pages("describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=ids))
        usable = bool(found) and found[0]["State"] == "completed" and not found[0].get("Encrypted")
        return usable and self.lists.there(parent.digest)

    def _expect_gone(self, publication: Publication) -> None:
        """A snapshot that was just made may not be visible yet; one that is not seen for long was deleted by somebody."""
        if self.index.seconds_since(publication.updated) < aws.VISIBLE_AFTER:
            raise CloudBusy(f"{publication.snapshot_id} is not visible yet.", code="NotVisible", region=self.region)

    def _advance(self, record: BuildRecord, **facts: Unpack[Facts]) -> Publication:
        return self.index.advance(record.id, self.region, PublicationState.WRITING, **facts)

    def _next_attempt(self, record: BuildRecord, publication: Publication) -> Publication:
        return _begin_anew(self.index, record, publication, PublicationState.WRITING, None)

    def _find(self, manifest_digest: str, known: str) -> dict[str, Any] | None:
        """The build's own snapshot by its tag; the ``known`` one, else the oldest, should there ever be several.

        One in error may be seen long after another took its place, and counts only where there is no other.
        """
        ours = [{"Name": f"tag:{TAG_DIGEST}", "Values": [manifest_digest]}]
        found = self.ec2.pages("describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=ours)
        return min(
            found,
            key=lambda one: (one["State"] == "error", one["SnapshotId"] != known, one["StartTime"], one["SnapshotId"]),
            default=None,
        )

    def _state(self, snapshot_id: str) -> str:
        found = self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        return str(found[0]["State"]) if found else ""


def give_up(index: Index, record: BuildRecord, region: str) -> None:
    """Have the AMI copied from home instead.  What was written so far is found and deleted by the sweep."""
    publication = index.publication(record.id, region)
    if publication.state not in HAS_IMAGE and publication.method is not Method.COPY:
        _begin_anew(index, record, publication, PublicationState.PLANNED, Method.COPY)


def _begin_anew(
    index: Index, record: BuildRecord, publication: Publication, state: PublicationState, method: Method | None
) -> Publication:
    """Another attempt, with nothing of what was."""
    return index.advance(
        record.id,
        publication.region,
        state,
        attempt=publication.attempt + 1,
        method=method,
        snapshot_id="",
        parent=None,
        blocks_written=0,
        blocks=0,
    )


def _is_usable(snapshot: dict[str, Any], publication: Publication) -> bool:
    """Whether it is worth going on with a snapshot.

    One in error got no block for too long, or EBS gave it up.  One that is pending is gone on with only if it is chained to
    what is on record: the blocks that are not written are its parent's, and no checksum covers them.
    """
    if snapshot["State"] == "pending":
        return publication.method is Method.WRITE and snapshot.get("Description") == _description(publication)
    return bool(snapshot["State"] == "completed")


def _description(publication: Publication) -> str:
    """What the snapshot is, and what it is chained to, which DescribeSnapshots does not tell otherwise."""
    parent = "" if publication.parent is None else f", chained to {publication.parent.snapshot_id}"
    return f"{DESCRIPTION} {publication.build}{parent}"
