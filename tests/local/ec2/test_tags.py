"""CreateTags, DeleteTags and DescribeTags, beside moto's own resources."""

from __future__ import annotations

import pytest

from tests.local.lab import STRANGER, Lab, refused, tagged


def tags_of(lab: Lab, resource_id: str) -> dict[str, str]:
    answer = lab.ec2().describe_tags(Filters=[{"Name": "resource-id", "Values": [resource_id]}])
    return {it["Key"]: it["Value"] for it in answer["Tags"]}


def test_images_and_snapshots_are_tagged_and_untagged(lab: Lab) -> None:
    """A tag goes by its key, or by key and value."""
    image_id, snapshot_id = lab.image(TagSpecifications=[tagged("image", old="1")]), lab.snapshot()
    new = [{"Key": "build", "Value": "b1"}, {"Key": "old", "Value": "2"}]
    lab.ec2().create_tags(Resources=[image_id, snapshot_id], Tags=new)
    assert tags_of(lab, image_id) == tags_of(lab, snapshot_id) == {"build": "b1", "old": "2"}
    lab.ec2().delete_tags(Resources=[image_id], Tags=[{"Key": "old", "Value": "1"}, {"Key": "build"}])
    assert tags_of(lab, image_id) == {"old": "2"}
    lab.ec2().delete_tags(Resources=[snapshot_id])
    assert tags_of(lab, snapshot_id) == {}


def test_motos_resources_are_tagged_in_the_same_call(lab: Lab) -> None:
    """And described in the same list."""
    api = lab.ec2()
    vpc_id, image_id = api.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"], lab.image()
    api.create_tags(Resources=[image_id, vpc_id], Tags=[{"Key": "build", "Value": "b1"}])
    rows = api.describe_tags(Filters=[{"Name": "key", "Values": ["build"]}])["Tags"]
    assert {it["ResourceId"]: it["ResourceType"] for it in rows} == {vpc_id: "vpc", image_id: "image"}


@pytest.mark.parametrize(
    ("key", "value"), [("aws:x", "1"), ("k" * 128, "1"), ("k", "v" * 256)], ids=["reserved", "long key", "long value"]
)
def test_tags_have_limits(lab: Lab, key: str, value: str) -> None:
    """InvalidParameterValue, and nothing is tagged."""
    image_id = lab.image()
    with refused("InvalidParameterValue"):
        lab.ec2().create_tags(Resources=[image_id], Tags=[{"Key": "fine", "Value": "1"}, {"Key": key, "Value": value}])
    assert tags_of(lab, image_id) == {}


def test_fifty_tags_are_the_most(lab: Lab) -> None:
    """TagLimitExceeded."""
    with refused("TagLimitExceeded"):
        lab.ec2().create_tags(Resources=[lab.image()], Tags=[{"Key": f"k{it}", "Value": ""} for it in range(51)])


def test_an_unknown_or_foreign_resource_is_refused_before_any_is_tagged(lab: Lab) -> None:
    """All or none."""
    image_id = lab.image()
    tags = [{"Key": "a", "Value": "b"}]
    with refused("InvalidSnapshot.NotFound"):
        lab.ec2().create_tags(Resources=[image_id, "snap-0123456789abcdef0"], Tags=tags)
    assert tags_of(lab, image_id) == {}
    lab.publish(image_id)
    with refused("AuthFailure"):
        lab.ec2(account=STRANGER).create_tags(Resources=[image_id], Tags=tags)
