"""Starting and completing the snapshot of a build in the home Region.  Look first, then act: every step may come twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chalicelib import aws
from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import BuildRecord, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.names import TAG_DIGEST, client_token
from chalicelib.snapshots.blocks import Shard, linear_checksum, shards, volume_gib, written
from chalicelib.snapshots.digests import DigestStore

#: Minutes that EBS keeps a pending snapshot to which no block is written (StartSnapshot allows 10 to 4320).
TIMEOUT_MINUTES = 6 * 60

#: A publication in one of these states has an AMI: its snapshot is of no concern any more.
HAS_IMAGE = frozenset({PublicationState.REGISTERED, PublicationState.STAGED, PublicationState.PUBLIC})


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of builds in one Region."""

    index: Index
    ec2: aws.Client
    ebs: aws.Client
    s3: aws.Client
    work_bucket: str

    @property
    def region(self) -> str:
        return self.ec2.region

    def start(self, record: BuildRecord) -> tuple[str, list[Shard]]:
        """Make sure that the build has a snapshot.

        Returns:
            its id and the shards that are still to be written: none when the snapshot is complete or has its AMI already.

        Raises:
            CloudBusy, CloudRefused: from EC2 and the EBS direct API.
        """
        publication = self.index.publication(record.id, self.region)
        if publication.state in HAS_IMAGE:
            return publication.snapshot_id, []
        snapshot = self._find(record.digest)
        if snapshot is not None and snapshot["State"] == "error":
            # It got no block for too long, or EBS gave it up: a new one under a new token takes its place.
            publication = self._advance(record, attempt=publication.attempt + 1)
            self.ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
            snapshot = None
        elif snapshot is None and publication.snapshot_id:
            self._expect_gone(publication)
            publication = self._advance(record, attempt=publication.attempt + 1)
        if snapshot is None:
            snapshot = self._create(record, publication)
        snapshot_id = str(snapshot["SnapshotId"])
        self._advance(record, snapshot_id=snapshot_id)
        if snapshot["State"] == "completed":
            return snapshot_id, []
        return snapshot_id, self._digests(record, snapshot_id).missing(shards(_image_size(record)))

    def complete(self, record: BuildRecord) -> str:
        """Seal the snapshot with the number of blocks and the checksum over all of them, which EBS checks.

        The snapshot stays pending for a while afterwards.  Completing it twice does no harm.

        Raises:
            CloudRefused: a shard is not written, or EBS found another checksum.
            CloudBusy: EBS or S3 is not to be reached.
        """
        publication = self.index.publication(record.id, self.region)
        snapshot_id = publication.snapshot_id
        if publication.state in HAS_IMAGE or self._state(snapshot_id) == "completed":
            return snapshot_id
        store = self._digests(record, snapshot_id)
        planned = shards(_image_size(record))
        if missing := store.missing(planned):
            raise CloudRefused(
                f"{len(missing)} of {len(planned)} shards of {snapshot_id} are not written: retry the build.",
                code="ShardsMissing",
                region=self.region,
            )
        digests = written(store.read(planned))
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
        return snapshot_id

    def _create(self, record: BuildRecord, publication: Publication) -> dict[str, Any]:
        self._advance(record)  # so that the index knows of the attempt before EC2 does
        started = self.ebs.start_snapshot(
            VolumeSize=volume_gib(_image_size(record)),
            Tags=[{"Key": key, "Value": value} for key, value in record.id.tags(record.digest).items()],
            Description=f"Broadside {record.id}",
            ClientToken=client_token(record.digest, self.region, publication.attempt),
            Timeout=TIMEOUT_MINUTES,
        )
        return {"SnapshotId": started["SnapshotId"], "State": started["Status"]}

    def _expect_gone(self, publication: Publication) -> None:
        """A snapshot that was just made may not be visible yet; one that is not seen for long was deleted by somebody."""
        if self.index.seconds_since(publication.updated) < aws.VISIBLE_AFTER:
            raise CloudBusy(f"{publication.snapshot_id} is not visible yet.", code="NotVisible", region=self.region)

    def _advance(self, record: BuildRecord, **facts: Any) -> Publication:
        return self.index.advance(record.id, self.region, PublicationState.WRITING, **facts)

    def _find(self, digest: str) -> dict[str, Any] | None:
        """The build's own snapshot by its tag; the oldest, should there ever be several.

        One in error may be seen long after another took its place, and counts only where there is no other.
        """
        found = self.ec2.pages(
            "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=[{"Name": f"tag:{TAG_DIGEST}", "Values": [digest]}]
        )
        return min(
            found,
            key=lambda snapshot: (snapshot["State"] == "error", snapshot["StartTime"], snapshot["SnapshotId"]),
            default=None,
        )

    def _state(self, snapshot_id: str) -> str:
        found = self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        return str(found[0]["State"]) if found else ""

    def _digests(self, record: BuildRecord, snapshot_id: str) -> DigestStore:
        return DigestStore(self.s3, self.work_bucket, record.digest, snapshot_id)


def _image_size(record: BuildRecord) -> int:
    manifest = Manifest.model_validate(record.manifest)
    return manifest.file(manifest.ec2.image).size
