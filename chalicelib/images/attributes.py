"""What an AMI must look like, from the manifest: for RegisterImage, and for the check afterwards.  No I/O.

Sources: RegisterImage, DescribeImages and BlockDeviceMapping in the EC2 API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.builds.manifest import Manifest


def registration(manifest: Manifest, name: str, snapshot_id: str) -> dict[str, Any]:
    """RegisterImage's parameters.  Architecture and virtualization are always named: the defaults are i386 and paravirtual."""
    ec2 = manifest.ec2
    parameters: dict[str, Any] = {
        "Name": name,
        "Description": manifest.description(),
        "Architecture": manifest.ec2_architecture,
        "VirtualizationType": "hvm",
        "BootMode": ec2.boot_mode,
        "EnaSupport": ec2.ena,
        "RootDeviceName": ec2.root_device,
        "BlockDeviceMappings": [
            {
                "DeviceName": ec2.root_device,
                "Ebs": {
                    "SnapshotId": snapshot_id,
                    "VolumeSize": ec2.root_volume_size,
                    "VolumeType": ec2.root_volume_type,
                    "DeleteOnTermination": True,
                },
            }
        ],
    }
    if ec2.sriov:
        parameters["SriovNetSupport"] = "simple"
    if ec2.imds:
        parameters["ImdsSupport"] = ec2.imds
    if ec2.tpm:
        parameters["TpmSupport"] = ec2.tpm
    return parameters


def differences(manifest: Manifest, name: str, image: Mapping[str, Any]) -> list[str]:
    """Where an AMI, as DescribeImages shows it, differs from its manifest; one clause each, empty when it does not."""
    ec2 = manifest.ec2
    volume = root_volume(image)
    expected = {
        "name": (name, image.get("Name")),
        "description": (manifest.description(), image.get("Description", "")),
        "architecture": (manifest.ec2_architecture, image.get("Architecture")),
        "virtualization": ("hvm", image.get("VirtualizationType")),
        "boot mode": (ec2.boot_mode, image.get("BootMode")),
        "ENA": (ec2.ena, bool(image.get("EnaSupport"))),
        "SR-IOV": ("simple" if ec2.sriov else None, image.get("SriovNetSupport")),
        "IMDS": (ec2.imds, image.get("ImdsSupport")),
        "TPM": (ec2.tpm, image.get("TpmSupport")),
        "root device": (ec2.root_device, image.get("RootDeviceName")),
        "root volume size": (ec2.root_volume_size, volume.get("VolumeSize")),
        "root volume type": (ec2.root_volume_type, volume.get("VolumeType")),
    }
    return [f"{what} is {found!r} instead of {wanted!r}" for what, (wanted, found) in expected.items() if wanted != found]


def root_volume(image: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``Ebs`` part of the root device's mapping, which is not always the first; empty while the AMI is pending."""
    for mapping in image.get("BlockDeviceMappings", []):
        if mapping.get("DeviceName") == image.get("RootDeviceName"):
            ebs: Mapping[str, Any] = mapping.get("Ebs", {})
            return ebs
    return {}


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """A resource's tags as a dict."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
