"""Images and snapshots as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from broadside.local.ebs.store import Snapshot
from broadside.local.ec2.cloud import Cloud
from broadside.local.ec2.model import Device, Image, ImportTask
from broadside.local.ec2.query import View, present, tag_list


def timestamp(seconds: float) -> str:
    """The wall clock's ``seconds`` as EC2 writes a date."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def image(cloud: Cloud, one: Image) -> View:
    """An element of DescribeImages' Images."""
    state = one.state(cloud.now())
    created = cloud.clock.date(one.created)
    deprecation = one.deprecation(created.timestamp())
    hardware = one.hardware
    return present(
        {
            "ImageId": one.image_id,
            "ImageLocation": f"{one.owner_id}/{one.name}",
            "ImageType": "machine",
            "Name": one.name,
            "OwnerId": one.owner_id,
            "Description": one.description or None,
            "State": state,
            "StateReason": {"Code": "Server.InternalError", "Message": one.failure} if state == "failed" else None,
            "Public": one.public,
            "CreationDate": created,
            "DeprecationTime": None if deprecation is None else timestamp(deprecation),
            "DeregistrationProtection": one.protection,
            "Architecture": hardware.architecture,
            "VirtualizationType": hardware.virtualization_type,
            "Hypervisor": "xen",
            "PlatformDetails": "Linux/UNIX",
            "UsageOperation": "RunInstances",
            "BootMode": hardware.boot_mode,
            "TpmSupport": hardware.tpm_support,
            "ImdsSupport": hardware.imds_support,
            "EnaSupport": hardware.ena_support,
            "SriovNetSupport": hardware.sriov_net_support,
            "KernelId": hardware.kernel_id,
            "RamdiskId": hardware.ramdisk_id,
            "RootDeviceName": hardware.root_device_name,
            "RootDeviceType": "ebs",
            "BlockDeviceMappings": [device(it, pending=state == "pending") for it in one.devices],
            "SourceImageId": one.source_image_id,
            "SourceImageRegion": one.source_region,
            "Tags": tag_list(one.tags),
        }
    )


def device(one: Device, *, pending: bool) -> View:
    """A block device mapping.  A pending image does not tell its snapshots yet."""
    if one.no_device:
        return {"DeviceName": one.name, "NoDevice": ""}
    if one.virtual_name:
        return {"DeviceName": one.name, "VirtualName": one.virtual_name}
    ebs = {
        "SnapshotId": None if pending else one.snapshot_id,
        "VolumeSize": one.volume_size,
        "VolumeType": one.volume_type,
        "DeleteOnTermination": one.delete_on_termination,
        "Encrypted": one.encrypted,
        "Iops": one.iops,
        "Throughput": one.throughput,
    }
    return {"DeviceName": one.name, "Ebs": present(ebs)}


def snapshot(cloud: Cloud, one: Snapshot) -> View:
    """An element of DescribeSnapshots' Snapshots."""
    state = cloud.snapshot_state(one)
    finished = state == "completed" and one.completes_at is not None
    return present(
        {
            "SnapshotId": one.snapshot_id,
            "OwnerId": one.owner_id,
            "VolumeId": one.volume_id,
            "VolumeSize": one.volume_size,
            "Description": one.description,
            "State": state,
            "StateMessage": one.failure or None if state == "error" else None,
            "Progress": "100%" if state == "completed" else "0%",
            "StartTime": cloud.clock.date(one.created),
            "CompletionTime": cloud.clock.date(one.completes_at) if finished and one.completes_at else None,
            "FullSnapshotSizeInBytes": one.full_size() if finished else None,
            "Encrypted": one.encrypted,
            "KmsKeyId": one.kms_key,
            "StorageTier": "standard",
            "Tags": tag_list(one.tags),
        }
    )


def import_task(cloud: Cloud, one: ImportTask) -> View:
    """An element of DescribeImportSnapshotTasks' ImportSnapshotTasks."""
    status = one.status(cloud.now())
    detail = {
        "Description": one.description or None,
        "DiskImageSize": float(one.size),
        "Encrypted": one.encrypted,
        "Format": one.disk_format,
        "Progress": "19" if status == "active" else None,
        "SnapshotId": one.snapshot_id if status == "completed" else None,
        "Status": status,
        "StatusMessage": {"active": "pending", "deleted": one.failure}.get(status),
        "UserBucket": {"S3Bucket": one.bucket, "S3Key": one.key},
    }
    return present(
        {
            "ImportTaskId": one.task_id,
            "Description": one.description or None,
            "SnapshotTaskDetail": present(detail),
            "Tags": tag_list(one.tags),
        }
    )
