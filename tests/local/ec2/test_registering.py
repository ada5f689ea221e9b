"""RegisterImage and DeregisterImage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.lab import AWAY, HOME, STRANGER, Lab, refused, root, tagged


def test_every_attribute_is_kept(lab: Lab) -> None:
    """What was registered is what DescribeImages shows."""
    given = {
        "Description": "Example 24.04",
        "Architecture": "arm64",
        "VirtualizationType": "hvm",
        "BootMode": "uefi-preferred",
        "TpmSupport": "v2.0",
        "ImdsSupport": "v2.0",
        "EnaSupport": True,
        "SriovNetSupport": "simple",
    }
    shown = lab.show(lab.image(name="example/24.04 (arm64)", **given))
    assert {key: shown[key] for key in given} == given
    assert shown["Name"] == "example/24.04 (arm64)"
    assert (shown["State"], shown["Public"], shown["RootDeviceName"]) == ("available", False, "/dev/sda1")


def test_the_uefi_data_is_an_attribute_of_its_own(lab: Lab) -> None:
    """It is read by DescribeImageAttribute alone."""
    image_id = lab.image(BootMode="uefi", UefiData="QU1aTlVFRkk=")
    answer = lab.ec2().describe_image_attribute(ImageId=image_id, Attribute="uefiData")
    assert answer["UefiData"] == {"Value": "QU1aTlVFRkk="}
    with refused("InvalidParameterValue"):
        lab.image(name="too much", BootMode="uefi", UefiData="A" * 64_001)


def test_the_defaults_are_awss_own(lab: Lab) -> None:
    """Architecture i386, virtualization paravirtual: who wants others says so."""
    shown = lab.show(lab.image())
    assert (shown["Architecture"], shown["VirtualizationType"]) == ("i386", "paravirtual")


@pytest.mark.parametrize(
    "wrong",
    [
        {"Architecture": "sparc"},
        {"VirtualizationType": "container"},
        {"BootMode": "bios"},
        {"ImdsSupport": "v1.0"},
        {"SriovNetSupport": "yes"},
        {"Description": "x" * 256},
        {"TagSpecifications": [tagged("snapshot", a="b")]},
        {"TagSpecifications": [tagged("image", **{"aws:mine": "b"})]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_value_that_aws_does_not_know_is_refused(lab: Lab, wrong: dict[str, Any]) -> None:
    """InvalidParameterValue."""
    with refused("InvalidParameterValue"):
        lab.image(**wrong)


def test_a_tpm_needs_uefi(lab: Lab) -> None:
    """It has no meaning for a legacy BIOS."""
    with refused("InvalidParameterCombination"):
        lab.image(TpmSupport="v2.0", BootMode="legacy-bios")


@pytest.mark.parametrize("name", ["ab", "x" * 129, "no:colon", "ünicode"])
def test_a_name_has_3_to_128_plain_characters(lab: Lab, name: str) -> None:
    """InvalidAMIName.Malformed."""
    with refused("InvalidAMIName.Malformed"):
        lab.image(name=name)


def test_a_name_is_an_owners_once_in_a_region(lab: Lab) -> None:
    """InvalidAMIName.Duplicate, until the first one is deregistered; elsewhere and for others it is free."""
    first = lab.image(name="taken")
    with refused("InvalidAMIName.Duplicate"):
        lab.image(name="taken")
    lab.image(AWAY, name="taken")
    snapshot_id = lab.snapshot()
    lab.ec2().modify_snapshot_attribute(
        SnapshotId=snapshot_id, OperationType="add", UserIds=[STRANGER], Attribute="createVolumePermission"
    )
    lab.ec2(account=STRANGER).register_image(Name="taken", BlockDeviceMappings=[root(snapshot_id)])
    lab.ec2().deregister_image(ImageId=first)
    lab.image(name="taken")


def test_an_unknown_snapshot_is_not_registered(lab: Lab) -> None:
    """InvalidSnapshot.NotFound, also for one of another Region."""
    for snapshot_id in ("snap-0123456789abcdef0", lab.snapshot(AWAY)):
        with refused("InvalidSnapshot.NotFound"):
            lab.image(BlockDeviceMappings=[root(snapshot_id)])


def test_a_snapshot_that_is_not_completed_is_not_registered(lab: Lab) -> None:
    """IncorrectState, and the name stays free."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("IncorrectState"):
        lab.image(name="early", BlockDeviceMappings=[root(snapshot_id)])
    lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
    lab.image(name="early", BlockDeviceMappings=[root(snapshot_id)])


def test_the_root_need_not_be_the_first_mapping(lab: Lab) -> None:
    """Data volumes, instance store volumes and left-out devices keep their place."""
    snapshot_id = lab.snapshot()
    mappings = [
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdc", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Throughput": 200}},
        root(snapshot_id, VolumeType="gp3", VolumeSize=8, DeleteOnTermination=False),
        {"DeviceName": "/dev/sdd", "NoDevice": ""},
    ]
    shown = lab.show(lab.image(BlockDeviceMappings=mappings))["BlockDeviceMappings"]
    assert [it["DeviceName"] for it in shown] == ["/dev/sdb", "/dev/sdc", "/dev/sda1", "/dev/sdd"]
    assert shown[1]["Ebs"]["Throughput"] == 200
    wanted = {"SnapshotId": snapshot_id, "VolumeType": "gp3", "VolumeSize": 8, "DeleteOnTermination": False}
    assert shown[2]["Ebs"] == wanted | {"Encrypted": False}


def test_mappings_that_make_no_disk_are_refused(lab: Lab) -> None:
    """No root, the root without a snapshot, a device twice, a volume smaller than its snapshot, encryption of a snapshot's."""
    snapshot_id = lab.snapshot(size=4)
    elsewhere = {"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": snapshot_id}}
    for mappings in (
        [],
        [elsewhere],
        [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}}],
        [root(snapshot_id), root(snapshot_id)],
        [root(snapshot_id, VolumeSize=3)],
        [root(snapshot_id, Encrypted=True)],
    ):
        with refused("InvalidBlockDeviceMapping"):
            lab.image(BlockDeviceMappings=mappings)


def test_an_image_is_pending_first_and_keeps_its_snapshot_to_itself(lab: Lab, tmp_path: Path) -> None:
    """Then it is available, and tells."""
    lab = Lab(tmp_path / "slow", register_seconds=30)
    image_id = lab.image()
    assert lab.show(image_id)["State"] == "pending"
    assert "SnapshotId" not in lab.show(image_id)["BlockDeviceMappings"][0]["Ebs"]
    lab.wait(31)
    assert lab.show(image_id)["State"] == "available"
    assert "SnapshotId" in lab.show(image_id)["BlockDeviceMappings"][0]["Ebs"]


def test_the_tags_of_the_request_are_the_images(lab: Lab) -> None:
    """From the first moment."""
    image_id = lab.image(TagSpecifications=[tagged("image", build="1")])
    assert lab.show(image_id)["Tags"] == [{"Key": "build", "Value": "1"}]


def test_a_deregistered_image_is_gone(lab: Lab) -> None:
    """Describing it finds nothing, using it says that it is no longer available; its snapshot stays."""
    image_id = lab.image()
    snapshot_id = lab.show(image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    lab.ec2().deregister_image(ImageId=image_id)
    with refused("InvalidAMIID.NotFound"):
        lab.show(image_id)
    with refused("InvalidAMIID.Unavailable"):
        lab.ec2().deregister_image(ImageId=image_id)
    assert lab.show_snapshot(snapshot_id)["State"] == "completed"


def test_deregistering_deletes_the_snapshots_that_no_other_image_needs(lab: Lab) -> None:
    """When that is asked for; the last image's takes the snapshot along."""
    snapshot_id = lab.snapshot()
    ids = [lab.image(name=name, BlockDeviceMappings=[root(snapshot_id)]) for name in ("one", "two")]
    results = [lab.ec2().deregister_image(ImageId=it, DeleteAssociatedSnapshots=True) for it in ids]
    assert [it["DeleteSnapshotResults"][0]["ReturnCode"] for it in results] == ["skipped", "success"]
    with refused("InvalidSnapshot.NotFound"):
        lab.show_snapshot(snapshot_id)


def test_a_dry_run_changes_nothing(lab: Lab) -> None:
    """DryRunOperation."""
    with refused("DryRunOperation"):
        lab.image(DryRun=True)
    assert lab.ec2().describe_images(Owners=["self"])["Images"] == []


@pytest.mark.parametrize(("image_id", "code"), [("ami-0123456789abcdef0", "NotFound"), ("image", "Malformed")])
def test_an_id_that_is_none_is_told_apart_from_one_that_is_unknown(lab: Lab, image_id: str, code: str) -> None:
    """InvalidAMIID.NotFound and .Malformed."""
    with refused(f"InvalidAMIID.{code}"):
        lab.ec2(HOME).deregister_image(ImageId=image_id)
    with refused(f"InvalidAMIID.{code}"):
        lab.show(image_id)
