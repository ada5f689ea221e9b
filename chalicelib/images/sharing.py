"""Letting the world have a verified AMI, and taking it back: permissions, protection, deprecation, parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib import aws
from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, CloudError, CloudRefused
from chalicelib.images import find
from chalicelib.images.attributes import root_volume, tags_of
from chalicelib.images.find import Image
from chalicelib.images.parameters import Parameters, names
from chalicelib.index.records import BuildRecord, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.names import TAG_DIGEST
from chalicelib.policy import StreamPolicy

#: States from which an AMI may go public, or has.
VERIFIED = frozenset({PublicationState.STAGED, PublicationState.PUBLIC})


@dataclass(frozen=True)
class Sharing:
    """One build's AMI in one Region, and who may have it.  Every step looks first, and may come twice."""

    index: Index
    ec2: aws.Client
    ssm: aws.Client
    record: BuildRecord
    policy: StreamPolicy

    @property
    def region(self) -> str:
        return self.ec2.region

    def open(self) -> None:
        """Give the staged AMI and its snapshot to everybody, and set what its policy wants set.

        The snapshot's permission lets others copy the AMI, not only launch it.

        Raises:
            CloudRefused: the Region blocks public images or snapshots, or the quota of public AMIs is used up.
            CloudBusy: EC2 is not to be reached; or another run is making the AMI anew; or its turn has not come.
        """
        publication = self.index.publication(self.record.id, self.region)
        if publication.state not in VERIFIED:
            raise self._busy(f"the AMI is {publication.state} and has to be verified before it is made public")
        if not publication.released_at:
            raise self._refused("the AMI was taken back, so that it stays private")
        image = self._available(publication)
        if tags_of(image).get(TAG_DIGEST) != self.record.digest:
            raise self._refused(f"{publication.image_id} does not carry this build's tags, so that it stays private")
        self._open_image(publication.image_id, bool(image.get("Public")))
        self._open_snapshot(str(root_volume(image)["SnapshotId"]))
        self._protect(image)
        self._deprecate(image, publication)
        self._set_parameters(publication.image_id)

    def confirm(self) -> None:
        """See the AMI as anybody else does, and its parameters as they came to be; then it is public in the index.

        Raises:
            CloudBusy: not shown yet.  What SSM refuses after the fact is never shown: it says no more.
        """
        publication = self.index.publication(self.record.id, self.region)
        found = self.ec2.describe_images(ImageIds=[publication.image_id], ExecutableUsers=["all"], IncludeDeprecated=True)
        if not found["Images"]:
            raise self._busy(f"{publication.image_id} is not shown as public yet")
        self._parameters().expect(publication.image_id, self._wanted_names())
        self.index.advance(self.record.id, self.region, PublicationState.PUBLIC)

    def close(self) -> None:
        """Take the AMI back: its parameters first, then what everybody may do with it.

        Raises:
            CloudBusy: EC2 or SSM is not to be reached, or does not show the change yet.
        """
        publication = self.index.publication(self.record.id, self.region)
        self._reset_parameters(publication.image_id)
        image = find.by_id(self.ec2, publication.image_id) if publication.image_id else None
        if image is not None:
            self._close_image(image)
        self.index.made_private(self.record.id, self.region)

    def _close_image(self, image: Image) -> None:
        image_id = image["ImageId"]
        if image.get("Public"):
            self.ec2.modify_image_attribute(
                ImageId=image_id, Attribute="launchPermission", OperationType="remove", UserGroups=["all"]
            )
        snapshot_id = str(root_volume(image).get("SnapshotId", ""))
        if snapshot_id and self._snapshot_is_open(snapshot_id):
            self.ec2.modify_snapshot_attribute(
                SnapshotId=snapshot_id, Attribute="createVolumePermission", OperationType="remove", GroupNames=["all"]
            )
        after = find.by_id(self.ec2, image_id)
        if after is not None and after.get("Public"):
            raise self._busy(f"{image_id} is still shown as public")

    def _available(self, publication: Publication) -> Image:
        image = find.by_id(self.ec2, publication.image_id)
        if image is None or image["State"] != "available":
            raise self._busy(f"{publication.image_id or 'the AMI'} is not available")
        return image

    def _open_image(self, image_id: str, public: bool) -> None:
        if public:
            return
        state = self.ec2.get_image_block_public_access_state()["ImageBlockPublicAccessState"]
        if state != "unblocked":
            raise self._refused(
                f"the Region blocks public images ({state}): call DisableImageBlockPublicAccess, wait ten minutes, then retry"
            )
        self._told(
            self.ec2.modify_image_attribute,
            "ask for a higher quota of public AMIs (L-0E3CBAB9), then retry",
            ImageId=image_id,
            Attribute="launchPermission",
            OperationType="add",
            UserGroups=["all"],
        )

    def _open_snapshot(self, snapshot_id: str) -> None:
        if self._snapshot_is_open(snapshot_id):
            return
        self._told(
            self.ec2.modify_snapshot_attribute,
            "allow public snapshots in this Region (DisableSnapshotBlockPublicAccess), then retry",
            SnapshotId=snapshot_id,
            Attribute="createVolumePermission",
            OperationType="add",
            GroupNames=["all"],
        )

    def _snapshot_is_open(self, snapshot_id: str) -> bool:
        answer = self.ec2.describe_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission")
        return {"Group": "all"} in answer["CreateVolumePermissions"]

    def _protect(self, image: Image) -> None:
        if self.policy.protect and image.get("DeregistrationProtection", "disabled") == "disabled":
            self.ec2.enable_image_deregistration_protection(ImageId=image["ImageId"])

    def _deprecate(self, image: Image, publication: Publication) -> None:
        """EC2 rounds the date to the minute; one that is set already stays, as long as it is the same day."""
        if self.policy.deprecate_days is None:
            return
        released = datetime.fromisoformat(publication.released_at)
        at = released + timedelta(days=self.policy.deprecate_days)
        if str(image.get("DeprecationTime", ""))[:10] != at.strftime("%Y-%m-%d"):
            self.ec2.enable_image_deprecation(ImageId=image["ImageId"], DeprecateAt=at)

    # Parameters

    def _parameters(self) -> Parameters:
        return Parameters(self.ssm, self.record.id.tags(self.record.digest))

    def _set_parameters(self, image_id: str) -> None:
        for name in self._wanted_names():
            self._parameters().put(name, image_id)

    def _wanted_names(self) -> list[str]:
        """The serial's own parameter; and ``current``, unless a newer build is public here or goes so with this one."""
        own, current = names(self.policy.parameter, Manifest.model_validate(self.record.manifest))
        newest = self.index.newest_public(self.record.id, self.region, or_about_to_be=True)
        is_newest = newest is None or newest.build.sort_key < self.record.id.sort_key
        return [own, *([current] if is_newest else [])] if own else []

    def _reset_parameters(self, image_id: str) -> None:
        """The serial's own parameter goes; ``current`` goes back to the AMI before, if it holds this one."""
        own, current = names(self.policy.parameter, Manifest.model_validate(self.record.manifest))
        if not own or not image_id:
            return
        parameters = self._parameters()
        parameters.remove(own, image_id)
        before = self.index.newest_public(self.record.id, self.region)
        if before is None:
            parameters.remove(current, image_id)
        elif parameters.value(current) == image_id:
            parameters.put(current, before.image_id)

    def _told(self, call: Callable[..., object], advice: str, **parameters: object) -> None:
        """Make the call; a refusal says what to do about it."""
        try:
            call(**parameters)
        except CloudRefused as error:
            if error.code == "UnauthorizedOperation":
                raise
            raise self._refused(f"{str(error).rstrip('.')}; {advice}", error.code) from error

    def _busy(self, message: str) -> CloudError:
        return CloudBusy(f"{self.region}: {message.rstrip('.')}.", code="NotVisible", region=self.region)

    def _refused(self, message: str, code: str = "") -> CloudError:
        return CloudRefused(f"{self.region}: {message.rstrip('.')}.", code=code, region=self.region)
