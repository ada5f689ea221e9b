"""RegisterImage, CopyImage and DeregisterImage: how images come and go.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html, API_CopyImage.html,
API_DeregisterImage.html
"""

from __future__ import annotations

from dataclasses import replace

from broadside.local.ebs.store import Snapshot, new_id
from broadside.local.ec2 import devices, errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import Device, Hardware, Image
from broadside.local.ec2.query import View
from broadside.local.ec2.validation import check_choice, check_description, check_name, tag_specifications

MAX_UEFI_DATA = 64_000


def register(cloud: Cloud, call: Call) -> View:
    """RegisterImage.  There is no client token: only the name, once per owner and Region, keeps it from happening twice.

    Raises:
        Ec2Error: InvalidAMIName.Malformed, .Duplicate; what :func:`devices.requested` raises; InvalidParameterValue.
    """
    name = call.need("Name")
    check_name(name)
    description = call.get("Description", "")
    check_description(description)
    tags = tag_specifications(call.get("TagSpecifications", []), ["image"])["image"]
    hardware = _hardware(call)
    _check_unique(cloud, call, name)
    now = cloud.now()
    image = Image(
        image_id=new_id("ami"),
        owner_id=call.account_id,
        region=call.region,
        name=name,
        hardware=hardware,
        devices=devices.requested(cloud, call, hardware.root_device_name),
        created=now,
        ready_at=now + cloud.behaviour.register_seconds,
        description=description,
        tags=tags,
    )
    return {"ImageId": cloud.add(image).image_id}


def copy(cloud: Cloud, call: Call) -> View:
    """CopyImage, once per client token.  Names need not be unique; who may launch the source is not copied.

    Raises:
        Ec2Error: IdempotentParameterMismatch; InvalidAMIID.*; InvalidRequest for storage that the caller may not read;
            ResourceLimitExceeded for too many copies at once.
    """
    return cloud.once(call, "CopyImage", lambda: _copy(cloud, call))


def deregister(cloud: Cloud, call: Call) -> View:
    """DeregisterImage, with its snapshots if that is asked for: those that back other images stay.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure; OperationNotPermitted for a protected image.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    if image.protection != "disabled" or cloud.now() < image.protected_until:
        raise errors.not_permitted(f"The image {image.image_id} is protected from deregistration.")
    cloud.remove(image)
    if not call.get("DeleteAssociatedSnapshots", False):
        return {"Return": True}
    results = [
        {"SnapshotId": snapshot_id, "ReturnCode": _delete_associated(cloud, call, snapshot_id)}
        for snapshot_id in dict.fromkeys(image.snapshot_ids)
    ]
    return {"Return": True, "DeleteSnapshotResults": results}


def _hardware(call: Call) -> Hardware:
    given = call.get
    check_choice("architecture", given("Architecture"), ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"))
    check_choice("virtualizationType", given("VirtualizationType"), ("hvm", "paravirtual"))
    check_choice("bootMode", given("BootMode"), ("legacy-bios", "uefi", "uefi-preferred"))
    check_choice("tpmSupport", given("TpmSupport"), ("v2.0",))
    check_choice("imdsSupport", given("ImdsSupport"), ("v2.0",))
    check_choice("sriovNetSupport", given("SriovNetSupport"), ("simple",))
    if given("TpmSupport") and given("BootMode") not in ("uefi", "uefi-preferred"):
        raise errors.bad_combination("TpmSupport needs a BootMode with UEFI.")
    if len(given("UefiData", "")) > MAX_UEFI_DATA:
        raise errors.invalid_value(f"UefiData may have {MAX_UEFI_DATA} characters.")
    return Hardware(
        # These two defaults are the API's own, and hardly ever what is wanted.
        architecture=given("Architecture", "i386"),
        virtualization_type=given("VirtualizationType", "paravirtual"),
        root_device_name=given("RootDeviceName", "/dev/sda1"),
        boot_mode=given("BootMode"),
        tpm_support=given("TpmSupport"),
        imds_support=given("ImdsSupport"),
        uefi_data=given("UefiData"),
        ena_support=given("EnaSupport", False),
        sriov_net_support=given("SriovNetSupport"),
        kernel_id=given("KernelId"),
        ramdisk_id=given("RamdiskId"),
    )


def _check_unique(cloud: Cloud, call: Call, name: str) -> None:
    for image in cloud.images[call.region].values():
        if image.owner_id == call.account_id and image.name == name:
            raise errors.Ec2Error("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.image_id}")


def _copy(cloud: Cloud, call: Call) -> View:
    name = call.need("Name")
    check_name(name)
    description = call.get("Description", "")
    check_description(description)
    tags = tag_specifications(call.get("TagSpecifications", []), ["image", "snapshot"])
    if call.get("KmsKeyId") and not call.get("Encrypted", False):
        raise errors.bad_combination("KmsKeyId needs Encrypted.")
    source = _copyable(cloud, call)
    _check_copy_quota(cloud, call)
    if call.get("CopyImageTags", False) and source.owner_id == call.account_id:
        tags["image"] = source.tags | tags["image"]
    now = cloud.now()
    image_id = new_id("ami")
    ready_at = now + cloud.behaviour.copy_time(call.region)
    failure = "The copy failed." if call.region in cloud.behaviour.failing_copies else ""

    def copied(device: Device) -> Device:
        origin = cloud.snapshots.get(source.region, device.snapshot_id) if device.snapshot_id else None
        if origin is None:
            return device
        encrypted = origin.encrypted or call.get("Encrypted", False)
        snapshot = Snapshot(
            snapshot_id=new_id("snap"),
            owner_id=call.account_id,
            region=call.region,
            volume_size=origin.volume_size,
            content=origin.content,
            created=now,
            description=f"Copied for DestinationAmi {image_id} from SourceAmi {source.image_id} "
            f"for SourceSnapshot {origin.snapshot_id}. Task created on {int(now * 1000):,}.",
            tags=dict(tags["snapshot"]),
            encrypted=encrypted,
            kms_key=call.get("KmsKeyId"),
            completes_at=ready_at,
            failure=failure,
        )
        return replace(device, snapshot_id=cloud.snapshots.add(snapshot).snapshot_id, encrypted=encrypted)

    image = Image(
        image_id=image_id,
        owner_id=call.account_id,
        region=call.region,
        name=name,
        hardware=source.hardware,
        devices=tuple(copied(device) for device in source.devices),
        created=now,
        ready_at=ready_at,
        description=description,
        tags=tags["image"],
        failure=failure,
        source_image_id=source.image_id,
        source_region=source.region,
    )
    return {"ImageId": cloud.add(image).image_id}


def _copyable(cloud: Cloud, call: Call) -> Image:
    """The source, if it is available and its storage may be read by the caller."""
    region = call.need("SourceRegion")
    if not cloud.world.region_open(region):
        raise errors.invalid_value(f"Value ({region}) for parameter SourceRegion is invalid. Invalid region")
    source = cloud.image(replace(call, region=region), call.need("SourceImageId"))
    state = source.state(cloud.now())
    if state != "available":
        raise errors.unavailable_image(source.image_id, state)
    for snapshot_id in source.snapshot_ids:
        snapshot = cloud.snapshots.get(region, snapshot_id)
        if snapshot is None:
            message = "The storage for the ami is not available in the source Region."
            raise errors.Ec2Error("InvalidRequest", message)
        if not snapshot.readable_by(call.account_id):
            raise errors.Ec2Error("InvalidRequest", "You do not have permission to access the storage of this ami")
    return source


def _check_copy_quota(cloud: Cloud, call: Call) -> None:
    now = cloud.now()
    running = sum(
        image.owner_id == call.account_id and image.source_image_id is not None and image.state(now) == "pending"
        for image in cloud.images[call.region].values()
    )
    if running >= cloud.behaviour.concurrent_copies_quota:
        raise errors.limit_exceeded(f"{running} image copies are in progress to {call.region}: that is the quota.")


def _delete_associated(cloud: Cloud, call: Call, snapshot_id: str) -> str:
    snapshot = cloud.snapshots.get(call.region, snapshot_id)
    if snapshot is None:
        return "client-error"
    if snapshot.owner_id != call.account_id:
        return "missing-permissions"
    if cloud.using(snapshot):
        return "skipped"
    cloud.snapshots.remove(snapshot)
    return "success"
