"""DescribeImages: which images a caller sees.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html
"""

from __future__ import annotations

from broadside.local.ec2 import errors, views
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import EVERYBODY, Image
from broadside.local.ec2.query import View, page, select
from broadside.local.ec2.validation import check_image_id

#: Documented filters of what no image here has: they are accepted and match nothing.
_EMPTY = (
    "image-watermark.source-image-creation-time",
    "image-watermark.source-image-id",
    "image-watermark.source-image-region",
    "image-watermark.watermark-creation-time",
    "image-watermark.watermark-key",
    "instance-type-specification.supported-instance-type",
    "instance-type-specification.unsupported-instance-type",
    "scan-result.critical-fix-available-since",
    "scan-result.finding-scan-date",
    "scan-result.high-fix-available-since",
    "scan-result.highest-finding-severity-label",
    "scan-result.informational-fix-available-since",
    "scan-result.low-fix-available-since",
    "scan-result.medium-fix-available-since",
)
#: Where each documented filter looks in the response.
FILTERS = dict.fromkeys(_EMPTY, "None") | {
    "architecture": "Architecture",
    "block-device-mapping.delete-on-termination": "BlockDeviceMappings.Ebs.DeleteOnTermination",
    "block-device-mapping.device-name": "BlockDeviceMappings.DeviceName",
    "block-device-mapping.encrypted": "BlockDeviceMappings.Ebs.Encrypted",
    "block-device-mapping.snapshot-id": "BlockDeviceMappings.Ebs.SnapshotId",
    "block-device-mapping.volume-size": "BlockDeviceMappings.Ebs.VolumeSize",
    "block-device-mapping.volume-type": "BlockDeviceMappings.Ebs.VolumeType",
    "boot-mode": "BootMode",
    "creation-date": "CreationDate",
    "description": "Description",
    "ena-support": "EnaSupport",
    "free-tier-eligible": "FreeTierEligible",
    "hypervisor": "Hypervisor",
    "image-allowed": "ImageAllowed",
    "image-id": "ImageId",
    "image-type": "ImageType",
    "is-public": "Public",
    "kernel-id": "KernelId",
    "manifest-location": "ImageLocation",
    "name": "Name",
    "owner-alias": "ImageOwnerAlias",
    "owner-id": "OwnerId",
    "platform": "Platform",
    "product-code": "ProductCodes.ProductCodeId",
    "product-code.type": "ProductCodes.ProductCodeType",
    "public-ssm-parameter-name": "PublicSsmParameterName",
    "ramdisk-id": "RamdiskId",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "source-image-id": "SourceImageId",
    "source-image-region": "SourceImageRegion",
    "source-instance-id": "SourceInstanceId",
    "sriov-net-support": "SriovNetSupport",
    "state": "State",
    "state-reason-code": "StateReason.Code",
    "state-reason-message": "StateReason.Message",
    "virtualization-type": "VirtualizationType",
}
PAGE_SIZES = range(1, 1001)


def describe(cloud: Cloud, call: Call) -> View:
    """DescribeImages.

    Raises:
        Ec2Error: InvalidAMIID.Malformed, .NotFound; InvalidParameterValue for an unknown filter; InvalidPaginationToken.
    """
    asked: list[str] = call.get("ImageIds", [])
    images = _named(cloud, call, asked) if asked else _listed(cloud, call)
    owners: list[str] = call.get("Owners", [])
    if owners:
        accounts = {call.account_id if owner == "self" else owner for owner in owners}
        images = [image for image in images if image.owner_id in accounts]
    users: list[str] = call.get("ExecutableUsers", [])
    if users:
        images = [image for image in images if any(_executable(image, user, call.account_id) for user in users)]
    found = select([views.image(cloud, image) for image in images], call.get("Filters", []), FILTERS)
    return page(call.parameters, "Images", found, "ImageId", PAGE_SIZES)


def _known(cloud: Cloud, call: Call) -> dict[str, Image]:
    images = cloud.images[call.region].items()
    return {key: image for key, image in images if cloud.visible(image) and image.usable_by(call.account_id)}


def _named(cloud: Cloud, call: Call, asked: list[str]) -> list[Image]:
    """The images asked for: by its id one sees deprecated and disabled ones too."""
    for image_id in asked:
        check_image_id(image_id)
    known = _known(cloud, call)
    unknown = [image_id for image_id in asked if image_id not in known]
    if unknown:
        raise errors.unknown_image(*unknown)
    return [known[image_id] for image_id in dict.fromkeys(asked)]


def _listed(cloud: Cloud, call: Call) -> list[Image]:
    """All images that the caller sees: by default not disabled ones, and of others' not deprecated ones."""

    def shown(image: Image) -> bool:
        if image.disabled and not call.get("IncludeDisabled", False):
            return False
        return image.owner_id == call.account_id or call.get("IncludeDeprecated", False) or not _deprecated(cloud, image)

    return [image for image in _known(cloud, call).values() if shown(image)]


def _deprecated(cloud: Cloud, image: Image) -> bool:
    when = image.deprecation(cloud.clock.date(image.created).timestamp())
    return when is not None and when <= cloud.clock.wall()


def _executable(image: Image, user: str, account_id: str) -> bool:
    """Whether ``user`` (an account id, ``self`` or ``all``) was explicitly given the permission."""
    if user == "all":
        return EVERYBODY in image.permissions
    return ("UserId", account_id if user == "self" else user) in image.permissions
