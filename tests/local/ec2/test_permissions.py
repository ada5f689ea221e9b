"""Launch permissions, block public access and the quota of public images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.lab import HOME, STRANGER, Lab, refused, root

ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-1234-abcdefgh"


def permissions(lab: Lab, image_id: str) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = lab.ec2().describe_image_attribute(ImageId=image_id, Attribute="launchPermission")[
        "LaunchPermissions"
    ]
    return shown


def modify(lab: Lab, image_id: str, **change: Any) -> None:
    lab.ec2().modify_image_attribute(ImageId=image_id, **change)


def test_permissions_are_added_and_removed(lab: Lab) -> None:
    """For everybody, accounts, organizations and their units; adding twice is adding once."""
    image_id = lab.image()
    added = [{"Group": "all"}, {"OrganizationArn": ORGANIZATION}, {"OrganizationalUnitArn": UNIT}, {"UserId": STRANGER}]
    for _ in range(2):
        modify(lab, image_id, LaunchPermission={"Add": added})
    assert permissions(lab, image_id) == added
    modify(lab, image_id, LaunchPermission={"Remove": added[:2]})
    assert permissions(lab, image_id) == added[2:]


def test_the_flat_spelling_means_the_same(lab: Lab) -> None:
    """Attribute, OperationType and lists of users or groups."""
    image_id = lab.image()
    modify(lab, image_id, Attribute="launchPermission", OperationType="add", UserGroups=["all"], UserIds=[STRANGER])
    assert permissions(lab, image_id) == [{"Group": "all"}, {"UserId": STRANGER}]
    modify(lab, image_id, Attribute="launchPermission", OperationType="remove", UserGroups=["all"])
    assert permissions(lab, image_id) == [{"UserId": STRANGER}]


@pytest.mark.parametrize("wrong", [{"UserId": "123"}, {"Group": "some"}, {"OrganizationArn": "arn:nonsense"}])
def test_a_permission_that_cannot_be_is_refused(lab: Lab, wrong: dict[str, str]) -> None:
    """InvalidAMIAttributeItemValue."""
    with refused("InvalidAMIAttributeItemValue"):
        modify(lab, lab.image(), LaunchPermission={"Add": [wrong]})


def test_one_attribute_is_modified_in_a_call(lab: Lab) -> None:
    """Neither none nor two."""
    image_id = lab.image()
    with refused("InvalidParameterCombination"):
        modify(lab, image_id)
    with refused("InvalidParameterCombination"):
        modify(lab, image_id, Description={"Value": "x"}, LaunchPermission={"Add": [{"Group": "all"}]})


@pytest.mark.parametrize(
    "nobody",
    [
        {"LaunchPermission": {"Add": []}},
        {"Attribute": "launchPermission", "OperationType": "add", "UserIds": []},
        {"Attribute": "launchPermission", "OperationType": "remove", "OrganizationArns": []},
    ],
)
def test_a_permission_is_somebodys(lab: Lab, nobody: dict[str, Any]) -> None:
    """An empty list changes nothing, and is refused."""
    with refused("InvalidParameterCombination"):
        modify(lab, lab.image(), **nobody)


def test_organizations_have_a_flat_spelling_too(lab: Lab) -> None:
    """OrganizationArns and OrganizationalUnitArns."""
    image_id = lab.image()
    asked = {"OrganizationArns": [ORGANIZATION], "OrganizationalUnitArns": [UNIT]}
    modify(lab, image_id, Attribute="launchPermission", OperationType="add", **asked)
    assert permissions(lab, image_id) == [{"OrganizationArn": ORGANIZATION}, {"OrganizationalUnitArn": UNIT}]


def test_the_description_and_the_imds_version_can_be_changed(lab: Lab) -> None:
    """In both spellings."""
    image_id = lab.image()
    modify(lab, image_id, Description={"Value": "new"})
    modify(lab, image_id, Attribute="imdsSupport", Value="v2.0")
    assert (lab.show(image_id)["Description"], lab.show(image_id)["ImdsSupport"]) == ("new", "v2.0")


def test_a_pending_image_is_not_shared(lab: Lab, tmp_path: Path) -> None:
    """InvalidAMIID.Unavailable until it is available."""
    lab = Lab(tmp_path / "slow", register_seconds=60)
    image_id = lab.image()
    with refused("InvalidAMIID.Unavailable"):
        lab.publish(image_id)
    lab.wait(61)
    lab.publish(image_id)


def test_block_public_access_keeps_images_private(lab: Lab, tmp_path: Path) -> None:
    """It is a Region's setting; accounts can still be given access, and what is public stays so."""
    lab = Lab(tmp_path / "blocked", block_public_access=(HOME,))
    state = lab.ec2().get_image_block_public_access_state()["ImageBlockPublicAccessState"]
    assert state == "block-new-sharing"
    image_id = lab.image()
    with refused("OperationNotPermitted"):
        lab.publish(image_id)
    modify(lab, image_id, LaunchPermission={"Add": [{"UserId": STRANGER}]})
    lab.ec2().disable_image_block_public_access()
    lab.publish(image_id)
    lab.ec2().enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    assert lab.show(image_id)["Public"] is True
    assert lab.ec2("eu-west-1").get_image_block_public_access_state()["ImageBlockPublicAccessState"] == "unblocked"


def test_public_images_have_a_quota(lab: Lab, tmp_path: Path) -> None:
    """ResourceLimitExceeded for one more; making the same one public again is not one more."""
    lab = Lab(tmp_path / "tight", public_images_quota=1)
    mapping = [root(lab.snapshot())]
    first, second = (lab.image(name=name, BlockDeviceMappings=mapping) for name in ("one", "two"))
    for _ in range(2):
        lab.publish(first)
    with refused("ResourceLimitExceeded"):
        lab.publish(second)
    modify(lab, first, LaunchPermission={"Remove": [{"Group": "all"}]})
    lab.publish(second)


def test_a_reset_leaves_the_image_to_its_owner(lab: Lab) -> None:
    """ResetImageAttribute takes all launch permissions away."""
    image_id = lab.image()
    lab.publish(image_id)
    lab.ec2().reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert permissions(lab, image_id) == []


def test_the_block_device_mapping_is_not_told_as_an_attribute(lab: Lab) -> None:
    """AWS refuses that, though it lists it."""
    with refused("AuthFailure"):
        lab.ec2().describe_image_attribute(ImageId=lab.image(), Attribute="blockDeviceMapping")
