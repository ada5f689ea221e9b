"""The block device mappings of a RegisterImage request.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broadside.local.ec2 import errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import Device
from broadside.local.ec2.validation import check_choice

VOLUME_TYPES = ("standard", "io1", "io2", "gp2", "gp3", "sc1", "st1")


def requested(cloud: Cloud, call: Call, root_device_name: str) -> tuple[Device, ...]:
    """The devices that a request asks for; the root need not be the first.

    Raises:
        Ec2Error: InvalidBlockDeviceMapping; InvalidSnapshot.NotFound; IncorrectState for a snapshot that is not completed.
    """
    mappings: Sequence[Mapping[str, Any]] = call.get("BlockDeviceMappings", [])
    devices = tuple(_device(cloud, call, mapping) for mapping in mappings)
    names = [device.name for device in devices]
    for name in names:
        if names.count(name) > 1:
            raise errors.bad_mapping(f"Device name {name} is specified more than once.")
    root = next((device for device in devices if device.name == root_device_name), None)
    if root is None or root.snapshot_id is None:
        raise errors.bad_mapping(f"No snapshot is specified for the root device {root_device_name}.")
    return devices


def _device(cloud: Cloud, call: Call, mapping: Mapping[str, Any]) -> Device:
    name = mapping.get("DeviceName")
    if not name:
        raise errors.bad_mapping("A block device mapping has no device name.")
    if "NoDevice" in mapping:
        return Device(name, no_device=True)
    if "VirtualName" in mapping:
        return Device(name, virtual_name=mapping["VirtualName"])
    ebs: Mapping[str, Any] = mapping.get("Ebs", {})
    snapshot_id, size = ebs.get("SnapshotId"), ebs.get("VolumeSize")
    encrypted = bool(ebs.get("Encrypted", False))
    if snapshot_id is not None:
        snapshot = cloud.snapshot(call, snapshot_id)
        if "Encrypted" in ebs:
            raise errors.bad_mapping(f"Device {name}: the encryption of a snapshot's volume cannot be specified.")
        if cloud.snapshot_state(snapshot) != "completed":
            raise errors.incomplete_snapshot(snapshot_id)
        encrypted = snapshot.encrypted
        size = snapshot.volume_size if size is None else size
        if size < snapshot.volume_size:
            raise errors.bad_mapping(
                f"Volume of size {size}GB is smaller than snapshot '{snapshot_id}', expect size >= {snapshot.volume_size}GB"
            )
    if size is None:
        raise errors.bad_mapping(f"Device {name} has neither a snapshot nor a volume size.")
    check_choice("volumeType", ebs.get("VolumeType"), VOLUME_TYPES)
    return Device(
        name,
        snapshot_id=snapshot_id,
        volume_size=size,
        volume_type=ebs.get("VolumeType", "standard"),
        delete_on_termination=ebs.get("DeleteOnTermination", True),
        encrypted=encrypted,
        iops=ebs.get("Iops"),
        throughput=ebs.get("Throughput"),
    )
