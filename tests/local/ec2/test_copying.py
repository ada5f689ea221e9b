"""CopyImage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.lab import AWAY, HOME, STRANGER, Lab, block, refused, root, tagged


def copy(lab: Lab, image_id: str, region: str = AWAY, account: str | None = None, **other: Any) -> str:
    """Copy the image from the home Region."""
    api = lab.ec2(region, account) if account else lab.ec2(region)
    asked = {"Name": "copy", "SourceImageId": image_id, "SourceRegion": HOME} | other
    copied: str = api.copy_image(**asked)["ImageId"]
    return copied


def test_a_copy_has_the_attributes_and_the_content_of_its_source(lab: Lab) -> None:
    """And a snapshot of its own, in its own Region."""
    source_snapshot = lab.snapshot(blocks={0: block("a"), 5: block("b")})
    given = {"Architecture": "x86_64", "VirtualizationType": "hvm", "BootMode": "uefi", "ImdsSupport": "v2.0"}
    mappings = [root(source_snapshot, VolumeType="gp3", VolumeSize=8)]
    source = lab.image(BlockDeviceMappings=mappings, EnaSupport=True, **given)
    shown = lab.show(copy(lab, source, Description="copied"), AWAY)
    assert {key: shown[key] for key in given} == given
    assert (shown["EnaSupport"], shown["Description"], shown["State"]) == (True, "copied", "available")
    assert (shown["SourceImageId"], shown["SourceImageRegion"]) == (source, HOME)
    ebs = shown["BlockDeviceMappings"][0]["Ebs"]
    assert (ebs["VolumeType"], ebs["VolumeSize"]) == ("gp3", 8)
    assert ebs["SnapshotId"] != source_snapshot
    assert lab.content(ebs["SnapshotId"], AWAY) == {0: block("a"), 5: block("b")}


def test_a_copy_is_private_and_untagged_unless_it_is_told(lab: Lab) -> None:
    """Launch permissions are not copied; tags only with CopyImageTags."""
    source = lab.image(TagSpecifications=[tagged("image", build="1", stage="x")])
    lab.publish(source)
    plain = lab.show(copy(lab, source), AWAY)
    assert plain["Public"] is False
    assert plain.get("Tags", []) == []
    again = copy(lab, source, CopyImageTags=True, TagSpecifications=[tagged("image", stage="y")])
    assert {it["Key"]: it["Value"] for it in lab.show(again, AWAY)["Tags"]} == {"build": "1", "stage": "y"}


def test_the_tags_of_the_request_reach_image_and_snapshot(lab: Lab) -> None:
    """Each its own, from the first moment."""
    specifications = [tagged("image", kind="image"), tagged("snapshot", kind="snapshot")]
    shown = lab.show(copy(lab, lab.image(), TagSpecifications=specifications), AWAY)
    assert shown["Tags"] == [{"Key": "kind", "Value": "image"}]
    snapshot = lab.show_snapshot(shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"], AWAY)
    assert snapshot["Tags"] == [{"Key": "kind", "Value": "snapshot"}]


def test_the_same_token_makes_one_copy(lab: Lab) -> None:
    """A repeated request gets the first one's answer; other parameters are refused."""
    source = lab.image()
    assert copy(lab, source, ClientToken="once") == copy(lab, source, ClientToken="once")
    with refused("IdempotentParameterMismatch"):
        copy(lab, source, ClientToken="once", Description="other")
    assert len(lab.ec2(AWAY).describe_images(Owners=["self"])["Images"]) == 1


@pytest.mark.parametrize("token", ["x" * 65, "tökén"])
def test_a_token_has_at_most_64_ascii_characters(lab: Lab, token: str) -> None:
    """Others are refused."""
    with refused("InvalidParameterValue"):
        copy(lab, lab.image(), ClientToken=token)


def test_a_key_without_encryption_is_refused(lab: Lab) -> None:
    """InvalidParameterCombination; with it, the copy's snapshot is encrypted."""
    source = lab.image()
    with refused("InvalidParameterCombination"):
        copy(lab, source, KmsKeyId="alias/mine")
    shown = lab.show(copy(lab, source, KmsKeyId="alias/mine", Encrypted=True), AWAY)
    assert shown["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def test_names_of_copies_need_not_be_unique(lab: Lab) -> None:
    """Two copies with one name both exist: only tags and tokens tell them apart."""
    source = lab.image()
    assert copy(lab, source) != copy(lab, source)


def test_a_copy_is_pending_then_available(lab: Lab, tmp_path: Path) -> None:
    """So is its snapshot, and the image does not name it before."""
    lab = Lab(tmp_path / "slow", copy_seconds=600)
    image_id = copy(lab, lab.image())
    pending = lab.show(image_id, AWAY)
    assert pending["State"] == "pending"
    assert "SnapshotId" not in pending["BlockDeviceMappings"][0]["Ebs"]
    assert [it["State"] for it in lab.ec2(AWAY).describe_snapshots(OwnerIds=["self"])["Snapshots"]] == ["pending"]
    lab.wait(601)
    assert lab.show(image_id, AWAY)["State"] == "available"
    assert lab.ec2(AWAY).describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["Progress"] == "100%"


def test_a_copy_into_a_far_region_takes_its_own_time(lab: Lab, tmp_path: Path) -> None:
    """The other Regions' copies do not wait for it."""
    lab = Lab(tmp_path / "far", copy_seconds=60, copy_seconds_into={AWAY: 600})
    source = lab.image()
    far, near = copy(lab, source), copy(lab, source, "eu-west-2")
    lab.wait(61)
    assert lab.show(far, AWAY)["State"] == "pending"
    assert lab.show(near, "eu-west-2")["State"] == "available"
    lab.wait(600)
    assert lab.show(far, AWAY)["State"] == "available"


def test_a_copy_that_fails_says_why(lab: Lab, tmp_path: Path) -> None:
    """After it was pending: state failed, with a reason; other Regions are not concerned."""
    lab = Lab(tmp_path / "broken", copy_seconds=60, failing_copies=(AWAY,))
    source = lab.image()
    failing, fine = copy(lab, source), copy(lab, source, "eu-west-2")
    assert lab.show(failing, AWAY)["State"] == "pending"
    lab.wait(61)
    assert lab.show(failing, AWAY)["State"] == "failed"
    assert lab.show(failing, AWAY)["StateReason"]["Message"]
    assert lab.show(fine, "eu-west-2")["State"] == "available"


def test_only_an_available_image_is_copied(lab: Lab, tmp_path: Path) -> None:
    """A pending one is InvalidAMIID.Unavailable, an unknown one .NotFound, an unknown Region is invalid."""
    lab = Lab(tmp_path / "slow", register_seconds=60)
    source = lab.image()
    with refused("InvalidAMIID.Unavailable"):
        copy(lab, source)
    with refused("InvalidAMIID.NotFound"):
        copy(lab, "ami-0123456789abcdef0")
    with refused("InvalidParameterValue"):
        copy(lab, source, SourceRegion="moon-1")


def test_copies_at_once_have_a_quota(lab: Lab, tmp_path: Path) -> None:
    """ResourceLimitExceeded until one is through; each destination counts for itself."""
    lab = Lab(tmp_path / "tight", copy_seconds=60, concurrent_copies_quota=1)
    source = lab.image()
    copy(lab, source)
    with refused("ResourceLimitExceeded"):
        copy(lab, source)
    copy(lab, source, "eu-west-2")
    lab.wait(61)
    copy(lab, source)


def test_a_refused_copy_does_not_spend_its_token(lab: Lab, tmp_path: Path) -> None:
    """The same request works once it can."""
    lab = Lab(tmp_path / "slow", register_seconds=60)
    source = lab.image()
    with refused("InvalidAMIID.Unavailable"):
        copy(lab, source, ClientToken="later")
    lab.wait(61)
    copy(lab, source, ClientToken="later")


def test_a_stranger_copies_only_what_storage_is_shared_with_it(lab: Lab) -> None:
    """A public image whose snapshot is private cannot be copied by others."""
    source = lab.image()
    with refused("InvalidAMIID.NotFound"):
        copy(lab, source, account=STRANGER)
    lab.publish(source)
    with refused("InvalidRequest"):
        copy(lab, source, account=STRANGER)
    snapshot_id = lab.show(source)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    lab.ec2().modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Add": [{"Group": "all"}]})
    image_id = copy(lab, source, account=STRANGER)
    assert lab.show(image_id, AWAY, STRANGER)["OwnerId"] == STRANGER
