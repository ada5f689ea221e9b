"""DescribeImages: who sees what, filters and pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.lab import HOME, STRANGER, Lab, refused, root, tagged


def found(lab: Lab, *filters: tuple[str, str], account: str | None = None, **other: Any) -> list[str]:
    """The names of the images that match."""
    api = lab.ec2(HOME, account) if account else lab.ec2()
    asked = [{"Name": name, "Values": values.split("|")} for name, values in filters]
    return sorted(it["Name"] for it in api.describe_images(Filters=asked, **other)["Images"])


@pytest.fixture
def two(lab: Lab) -> dict[str, str]:
    """An amd64 and an arm64 image."""
    mapping = root(lab.snapshot(size=2), VolumeType="gp3", VolumeSize=8)
    hvm = {"VirtualizationType": "hvm", "EnaSupport": True}
    amd = lab.image(name="os/amd64", Architecture="x86_64", TagSpecifications=[tagged("image", build="b1", q="1")], **hvm)
    arm = lab.image(
        name="os/arm64",
        Architecture="arm64",
        BootMode="uefi",
        Description="on arms",
        BlockDeviceMappings=[mapping],
        TagSpecifications=[tagged("image", build="b2")],
        **hvm,
    )
    return {"amd": amd, "arm": arm, "snapshot": mapping["Ebs"]["SnapshotId"]}


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("name", "os/*", "amd arm"),
        ("name", "os/a??64", "amd arm"),
        ("name", "os/amd64|os/arm64", "amd arm"),
        ("name", "OS/*", ""),
        ("name", "os", ""),
        ("architecture", "arm64", "arm"),
        ("boot-mode", "uefi", "arm"),
        ("description", "on*", "arm"),
        ("ena-support", "true", "amd arm"),
        ("is-public", "false", "amd arm"),
        ("is-public", "true", ""),
        ("state", "available", "amd arm"),
        ("state", "pending|failed", ""),
        ("root-device-type", "ebs", "amd arm"),
        ("root-device-name", "/dev/sda1", "amd arm"),
        ("virtualization-type", "hvm", "amd arm"),
        ("creation-date", "2027-01-15T*", "amd arm"),
        ("block-device-mapping.volume-type", "gp3", "arm"),
        ("block-device-mapping.volume-size", "8", "arm"),
        ("block-device-mapping.delete-on-termination", "true", "amd arm"),
        ("block-device-mapping.encrypted", "false", "amd arm"),
        ("tag:build", "b1", "amd"),
        ("tag:build", "b?", "amd arm"),
        ("tag-key", "q", "amd"),
        ("tag:q", "2", ""),
        ("platform", "windows", ""),
        ("scan-result.finding-scan-date", "*", ""),
    ],
)
def test_a_filter_finds_what_it_describes(lab: Lab, two: dict[str, str], name: str, values: str, expected: str) -> None:
    """Values are alternatives, with wildcards, and case counts."""
    shown = found(lab, (name, values))
    assert shown == [{"amd": "os/amd64", "arm": "os/arm64"}[it] for it in expected.split()]
    assert two


def test_ids_can_be_filtered_for(lab: Lab, two: dict[str, str]) -> None:
    """The image's and its snapshot's."""
    assert found(lab, ("image-id", two["amd"])) == ["os/amd64"]
    assert found(lab, ("block-device-mapping.snapshot-id", two["snapshot"])) == ["os/arm64"]


@pytest.mark.usefixtures("two")
def test_all_filters_must_match(lab: Lab) -> None:
    """They narrow each other."""
    assert found(lab, ("name", "os/*"), ("tag:build", "b2")) == ["os/arm64"]
    assert found(lab, ("architecture", "x86_64"), ("tag:build", "b2")) == []


def test_a_wildcard_can_be_meant_as_it_stands(lab: Lab) -> None:
    """After a backslash."""
    lab.image(name="plain", Description="a*b")
    assert found(lab, ("description", "a\\*b")) == ["plain"]
    assert found(lab, ("description", "a\\*?")) == ["plain"]
    assert found(lab, ("description", "\\a\\?b")) == []


def test_an_unknown_filter_is_refused(lab: Lab) -> None:
    """InvalidParameterValue, rather than everything or nothing."""
    with refused("InvalidParameterValue"):
        found(lab, ("flavour", "vanilla"))


def test_pages_follow_one_another_and_miss_nothing(lab: Lab) -> None:
    """Though an image is registered between them."""
    mapping = [root(lab.snapshot())]
    ids = {lab.image(name=f"image {number}", BlockDeviceMappings=mapping) for number in range(5)}
    first = lab.ec2().describe_images(Owners=["self"], MaxResults=2)
    assert len(first["Images"]) == 2
    lab.image(name="late", BlockDeviceMappings=mapping)
    seen = {it["ImageId"] for it in first["Images"]}
    while first.get("NextToken"):
        first = lab.ec2().describe_images(Owners=["self"], MaxResults=2, NextToken=first["NextToken"])
        page = {it["ImageId"] for it in first["Images"]}
        assert seen.isdisjoint(page)
        seen |= page
    assert ids <= seen
    with refused("InvalidPaginationToken"):
        lab.ec2().describe_images(NextToken="junk")


def test_a_private_image_is_invisible_to_others(lab: Lab) -> None:
    """Not listed, and unknown by its id."""
    image_id = lab.image()
    assert found(lab, account=STRANGER) == []
    with refused("InvalidAMIID.NotFound"):
        lab.show(image_id, account=STRANGER)


def test_a_public_image_is_seen_by_all(lab: Lab) -> None:
    """With its owner's id; nobody else may change it."""
    image_id = lab.image(name="open")
    lab.publish(image_id)
    assert found(lab, ("is-public", "true"), account=STRANGER) == ["open"]
    assert lab.show(image_id, account=STRANGER)["Public"] is True
    with refused("AuthFailure"):
        lab.ec2(account=STRANGER).deregister_image(ImageId=image_id)


def test_owners_and_executable_users_narrow_the_list(lab: Lab) -> None:
    """Owner: self or an account.  Executable: shared with all, or with an account by name."""
    mapping = [root(lab.snapshot())]
    lab.image(name="mine", BlockDeviceMappings=mapping)
    lab.publish(lab.image(name="open", BlockDeviceMappings=mapping))
    shared = lab.image(name="shared", BlockDeviceMappings=mapping)
    lab.ec2().modify_image_attribute(ImageId=shared, LaunchPermission={"Add": [{"UserId": STRANGER}]})
    assert found(lab, Owners=["self"]) == ["mine", "open", "shared"]
    assert found(lab, Owners=["self"], account=STRANGER) == []
    assert found(lab, Owners=["123456789012"], account=STRANGER) == ["open", "shared"]
    assert found(lab, ExecutableUsers=["all"]) == ["open"]
    assert found(lab, ExecutableUsers=["self"], account=STRANGER) == ["shared"]
    assert found(lab, ExecutableUsers=[STRANGER]) == ["shared"]


def test_a_new_id_may_be_unknown_for_a_while(lab: Lab, tmp_path: Path) -> None:
    """EC2 is eventually consistent: every call may not know it yet, and lists leave it out."""
    lab = Lab(tmp_path / "late", visibility_seconds=10)
    snapshot_id = lab.snapshot()
    with refused("InvalidSnapshot.NotFound"):
        lab.show_snapshot(snapshot_id)
    lab.wait(11)
    image_id = lab.image(BlockDeviceMappings=[root(snapshot_id)])
    assert found(lab) == []
    with refused("InvalidAMIID.NotFound"):
        lab.show(image_id)
    with refused("InvalidAMIID.NotFound"):
        lab.publish(image_id)
    with refused("InvalidAMIID.NotFound"):
        lab.ec2().create_tags(Resources=[image_id], Tags=[{"Key": "a", "Value": "b"}])
    lab.wait(11)
    assert found(lab) == ["image"]


def test_several_ids_are_all_known_or_the_call_fails(lab: Lab) -> None:
    """It names the ones that are not."""
    known = lab.image()
    with refused("InvalidAMIID.NotFound"):
        lab.ec2().describe_images(ImageIds=[known, "ami-0123456789abcdef0"])
