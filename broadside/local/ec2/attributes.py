"""DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute: above all, who may launch an image.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyImageAttribute.html,
API_DescribeImageAttribute.html, API_ResetImageAttribute.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from broadside.local.ec2 import errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import EVERYBODY, Image, Permission
from broadside.local.ec2.query import View
from broadside.local.ec2.validation import check_choice, check_description, check_permission

_READABLE = (
    "description",
    "kernel",
    "ramdisk",
    "launchPermission",
    "productCodes",
    "sriovNetSupport",
    "bootMode",
    "tpmSupport",
    "uefiData",
    "lastLaunchedTime",
    "imdsSupport",
    "deregistrationProtection",
)
#: The parameters that carry launch permissions when Attribute names it, and the kind that each stands for.
_FLAT = {
    "UserGroups": "Group",
    "UserIds": "UserId",
    "OrganizationArns": "OrganizationArn",
    "OrganizationalUnitArns": "OrganizationalUnitArn",
}


def describe(cloud: Cloud, call: Call) -> View:
    """DescribeImageAttribute, for the owner.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure for another's image, or for ``blockDeviceMapping``, which AWS keeps to itself.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    attribute = call.need("Attribute")
    if attribute == "blockDeviceMapping":
        raise errors.Ec2Error("AuthFailure", "Unauthorized attempt to access restricted resource")
    check_choice("attribute", attribute, _READABLE)
    answer: View = {"ImageId": image.image_id}
    if attribute == "launchPermission":
        return answer | {"LaunchPermissions": [{kind: value} for kind, value in sorted(image.permissions)]}
    if attribute == "productCodes":
        return answer | {"ProductCodes": []}
    hardware = image.hardware
    member, value = {
        "description": ("Description", image.description),
        "kernel": ("KernelId", hardware.kernel_id),
        "ramdisk": ("RamdiskId", hardware.ramdisk_id),
        "sriovNetSupport": ("SriovNetSupport", hardware.sriov_net_support),
        "bootMode": ("BootMode", hardware.boot_mode),
        "tpmSupport": ("TpmSupport", hardware.tpm_support),
        "uefiData": ("UefiData", hardware.uefi_data),
        "lastLaunchedTime": ("LastLaunchedTime", None),
        "imdsSupport": ("ImdsSupport", hardware.imds_support),
        "deregistrationProtection": ("DeregistrationProtection", image.protection),
    }[attribute]
    return answer | {member: {"Value": value} if value else {}}


def modify(cloud: Cloud, call: Call) -> View:
    """ModifyImageAttribute: the description, the IMDS version or the launch permissions, one of them a call.

    Raises:
        Ec2Error: InvalidAMIID.Unavailable unless the image is available; InvalidParameterCombination for none or several
            attributes; OperationNotPermitted where public access is blocked; ResourceLimitExceeded for too many public
            images; InvalidAMIAttributeItemValue.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    state = image.state(cloud.now())
    if state != "available":
        raise errors.unavailable_image(image.image_id, state)
    attribute = _attribute(call)
    if attribute == "launchPermission":
        _share(cloud, call, image)
    elif attribute == "description":
        description = _value(call, "Description")
        check_description(description)
        image.description = description
    else:
        support = _value(call, "ImdsSupport")
        check_choice("imdsSupport", support, ("v2.0",))
        image.hardware = replace(image.hardware, imds_support=support)
    return {}


def reset(cloud: Cloud, call: Call) -> View:
    """ResetImageAttribute: the launch permissions, back to the owner's alone.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure; InvalidParameterValue for another attribute.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    check_choice("attribute", call.need("Attribute"), ("launchPermission",))
    image.permissions.clear()
    return {}


def _attribute(call: Call) -> str:
    """Which attribute the request changes: named by Attribute, or by the one parameter that carries it."""
    carried = {"Description": "description", "ImdsSupport": "imdsSupport", "LaunchPermission": "launchPermission"}
    named = {attribute for parameter, attribute in carried.items() if call.get(parameter) is not None}
    if call.get("Attribute"):
        check_choice("attribute", call.get("Attribute"), tuple(carried.values()))
        named.add(call.get("Attribute"))
    if not named:
        raise errors.bad_combination("No attributes specified.")
    if len(named) > 1:
        raise errors.bad_combination("Fields for multiple attribute types specified.")
    return named.pop()


def _value(call: Call, parameter: str) -> str:
    carried = call.get(parameter)
    value = call.get("Value") if carried is None else carried.get("Value")
    if value is None:
        raise errors.missing("Value")
    return str(value)


def _share(cloud: Cloud, call: Call, image: Image) -> None:
    added, removed = _permissions(call)
    if not added and not removed:
        raise errors.bad_combination("No launch permissions specified.")
    for kind, value in added | removed:
        check_permission(kind, value)
    if EVERYBODY in added and not image.public:
        _check_publishable(cloud, call)
    image.permissions |= added
    image.permissions -= removed


def _permissions(call: Call) -> tuple[set[Permission], set[Permission]]:
    """What the request adds and what it removes, in either of its two spellings."""
    structure: Mapping[str, Sequence[Mapping[str, str]]] = call.get("LaunchPermission", {})
    added, removed = (
        {permission for item in structure.get(side, []) for permission in item.items()} for side in ("Add", "Remove")
    )
    flat = {(kind, value) for parameter, kind in _FLAT.items() for value in call.get(parameter, [])}
    operation = call.get("OperationType")
    check_choice("operationType", operation, ("add", "remove"))
    if flat and operation is None:
        raise errors.missing("OperationType")
    return (added | flat, removed) if operation == "add" else (added, removed | flat)


def _check_publishable(cloud: Cloud, call: Call) -> None:
    if cloud.image_block_state(call.region) == "block-new-sharing":
        raise errors.not_permitted(
            "You can't publicly share this image because block public access for AMIs is enabled for this account. "
            "To publicly share the image, you must call the DisableImageBlockPublicAccess API."
        )
    images = cloud.images[call.region].values()
    public = sum(image.public and image.owner_id == call.account_id for image in images)
    if public >= cloud.behaviour.public_images_quota:
        raise errors.limit_exceeded(f"{public} images are public in {call.region}: that is the quota.")
