"""One build's AMI in one Region: made and checked.  Look first, then act: every step may come twice or die half-way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chalicelib import aws
from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, CloudError, CloudRefused
from chalicelib.images import find
from chalicelib.images.attributes import differences, registration, root_volume, tag_list, tags_of
from chalicelib.images.find import DEAD_STATES, Image
from chalicelib.index.records import BuildRecord, Lineage, Method, Parent, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.names import TAG_DIGEST, client_token

#: States that a verified AMI may be in.
STAGED_STATES = frozenset({PublicationState.STAGED, PublicationState.PUBLIC})


class Progress(StrEnum):
    """What a step answers to the state machine."""

    WAITING = "waiting"  # the source is not ready
    REGISTERED = "registered"
    PENDING = "pending"
    STAGED = "staged"


@dataclass(frozen=True)
class RegionalImage:
    """One build in one Region.

    Args:
        ec2: the EC2 client of the Region.
        home: the Region whose AMI others are copied from, where they are copied.
        zeros_skipped: whether the stream leaves blocks of zeros out of its snapshots.
    """

    index: Index
    ec2: aws.Client
    record: BuildRecord
    home: str
    zeros_skipped: bool

    @property
    def region(self) -> str:
        return self.ec2.region

    @property
    def _name(self) -> str:
        return self.record.id.image_name

    @property
    def _manifest(self) -> Manifest:
        return Manifest.model_validate(self.record.manifest)

    def register(self) -> Progress:
        """Make sure that the AMI exists: registered from the Region's own snapshot, or copied from home.

        Raises:
            CloudBusy, CloudRefused: from EC2, or because the source has failed.
        """
        publication = self.index.publication(self.record.id, self.region)
        image = self._existing(publication)
        dead = image is not None and image["State"] in DEAD_STATES
        gone = bool(publication.image_id) and (image is None or image["ImageId"] != publication.image_id)
        if dead or gone:  # another attempt, counted before anything is done: the old token must not come back
            publication = self._next_attempt(publication)
        if image is not None and dead:
            self._clear_away(image, publication)
            image = None
        if image is None:
            image_id = self._copy(publication) if publication.method is Method.COPY else self._register_snapshot(publication)
            if image_id is None:
                return Progress.WAITING
        else:
            image_id = image["ImageId"]
        self.index.advance(self.record.id, self.region, PublicationState.REGISTERED, image_id=image_id)
        return Progress.REGISTERED

    def check(self) -> Progress:
        """Stage the AMI: available, as the manifest asks, its snapshot complete, and both with the build's tags.

        Raises:
            CloudRefused: the AMI failed, or differs from its manifest.
            CloudBusy: EC2 is not to be reached, or does not show the AMI yet.
        """
        publication = self.index.publication(self.record.id, self.region)
        image = find.by_id(self.ec2, publication.image_id)
        if image is None:
            raise self._busy(f"{publication.image_id} is not visible yet")
        if image["State"] in DEAD_STATES:
            reason = image.get("StateReason", {}).get("Message", "no reason given")
            raise self._refused(f"{publication.image_id} is {image['State']}: {reason}")
        if image["State"] != "available":
            return Progress.PENDING
        if wrong := differences(self._manifest, self._name, image):
            raise self._refused(f"{publication.image_id} is not what its manifest asks for: {'; '.join(wrong)}")
        snapshot_id = str(root_volume(image)["SnapshotId"])
        self._check_snapshot(snapshot_id)
        self._check_tags(publication.image_id, image)
        self.index.advance(self.record.id, self.region, PublicationState.STAGED, snapshot_id=snapshot_id)
        self._leave_to_next(snapshot_id)
        return Progress.STAGED

    def _leave_to_next(self, snapshot_id: str) -> None:
        """The product's next build in this Region may be chained to the snapshot, now that it is verified."""
        build = self.record.id
        parent = Parent(snapshot_id, build.serial, self.record.digest)
        size, now = self.record.disk_size, self.index.now()
        self.index.put_lineage(Lineage(build.product, self.region, parent, size, self.zeros_skipped, updated=now))

    def _existing(self, publication: Publication) -> Image | None:
        if publication.image_id:
            image = find.by_id(self.ec2, publication.image_id)
            if image is not None:
                return image
            if self.index.seconds_since(publication.updated) < aws.VISIBLE_AFTER:
                raise self._busy(f"{publication.image_id} is not visible yet")
        return find.by_digest(self.ec2, self.record.digest)

    def _clear_away(self, image: Image, publication: Publication) -> None:
        if image["State"] != "deregistered":
            # A copy's snapshot goes with it; one that was written is what the AMI is registered from again.
            copied = publication.method is Method.COPY
            self.ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=copied)

    def _next_attempt(self, publication: Publication) -> Publication:
        after = self.index.advance(
            self.record.id, self.region, PublicationState.PLANNED, image_id="", attempt=publication.attempt + 1
        )
        if after.image_id:
            raise self._busy(f"another run has just made {after.image_id}")
        return after

    def _register_snapshot(self, publication: Publication) -> str | None:
        found = self.ec2.describe_snapshots(SnapshotIds=[publication.snapshot_id])["Snapshots"]
        state = found[0]["State"] if found else "pending"
        if state == "error":
            raise self._refused(f"{publication.snapshot_id} turned to error: {found[0].get('StateMessage', '')}")
        if state != "completed":
            return None
        try:
            registered = self.ec2.register_image(
                **registration(self._manifest, self._name, publication.snapshot_id),
                TagSpecifications=[{"ResourceType": "image", "Tags": self._tags}],
            )
        except CloudRefused as error:
            if error.code != "InvalidAMIName.Duplicate":
                raise
            return self._of_same_name()
        return str(registered["ImageId"])

    def _of_same_name(self) -> str:
        """RegisterImage knows no token: an answer that was lost comes back as a duplicate name."""
        image = find.by_name(self.ec2, self._name)
        if image is None:
            raise self._busy(f"an AMI named {self._name} exists but is not visible yet")
        if tags_of(image).get(TAG_DIGEST) != self.record.digest:
            raise self._refused(
                f"{image['ImageId']} has the name {self._name} but is not this build: rename or deregister it, then retry"
            )
        return str(image["ImageId"])

    def _copy(self, publication: Publication) -> str | None:
        source = self.index.publication(self.record.id, self.home)
        was_staged = PublicationState.STAGED in source.times  # what failed since, such as sharing it, is home's own trouble
        if source.state is PublicationState.FAILED and not was_staged:
            raise self._refused(f"there is nothing to copy, since {self.home} failed: {source.reason}")
        if source.state not in STAGED_STATES | {PublicationState.FAILED}:
            return None
        try:
            copied = self.ec2.copy_image(
                Name=self._name,
                Description=self._manifest.description(),
                SourceImageId=source.image_id,
                SourceRegion=self.home,
                ClientToken=client_token(self.record.digest, self.region, publication.attempt),
                TagSpecifications=[{"ResourceType": kind, "Tags": self._tags} for kind in ("image", "snapshot")],
            )
        except CloudRefused as error:
            if error.code == "ResourceLimitExceeded":  # 300 copies at once into a Region: wait for one to end
                return None
            raise
        return str(copied["ImageId"])

    def _check_snapshot(self, snapshot_id: str) -> None:
        snapshot = self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
        if snapshot["State"] != "completed":
            raise self._busy(f"{snapshot_id} is {snapshot['State']} though its AMI is available")
        if snapshot.get("Encrypted"):
            raise self._refused(
                f"{snapshot_id} is encrypted, so that its AMI cannot be public: call DisableEbsEncryptionByDefault in this "
                f"Region, deregister {self._name} and delete the snapshot, then retry"
            )
        self._check_tags(snapshot_id, snapshot)

    def _check_tags(self, name: str, resource: Mapping[str, Any]) -> None:
        """Both were created with their tags, in one call: no function may put our tags on what is there already."""
        if not self.record.id.tags(self.record.digest).items() <= tags_of(resource).items():
            raise self._busy(f"{name} does not show the build's tags; put them back if somebody took them away, then retry")

    @property
    def _tags(self) -> list[dict[str, str]]:
        return tag_list(self.record.id.tags(self.record.digest))

    def _busy(self, message: str) -> CloudError:
        return CloudBusy(f"{self.region}: {message.rstrip('.')}.", code="NotVisible", region=self.region)

    def _refused(self, message: str, code: str = "") -> CloudError:
        return CloudRefused(f"{self.region}: {message.rstrip('.')}.", code=code, region=self.region)
