"""Deprecation, disabling and protection from deregistration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.local.lab import STRANGER, Lab, refused

DAY = 24 * 3600


def in_days(lab: Lab, days: float, **more: float) -> datetime:
    return datetime.fromtimestamp(lab.seconds, UTC) + timedelta(days=days, **more)


def test_a_deprecation_is_rounded_to_the_minute(lab: Lab) -> None:
    """The nearest one."""
    image_id = lab.image()
    lab.ec2().enable_image_deprecation(ImageId=image_id, DeprecateAt=datetime(2027, 3, 1, 12, 0, 40, tzinfo=UTC))
    assert lab.show(image_id)["DeprecationTime"] == "2027-03-01T12:01:00.000Z"
    lab.ec2().disable_image_deprecation(ImageId=image_id)
    assert "DeprecationTime" not in lab.show(image_id)


def test_a_deprecation_is_neither_past_nor_ten_years_away(lab: Lab) -> None:
    """For a public image, two years after its creation is the end."""
    image_id = lab.image()
    for days in (-1, 3700):
        with refused("InvalidParameterValue"):
            lab.ec2().enable_image_deprecation(ImageId=image_id, DeprecateAt=in_days(lab, days))
    lab.ec2().enable_image_deprecation(ImageId=image_id, DeprecateAt=in_days(lab, 900))
    lab.publish(image_id)
    with refused("InvalidParameterValue"):
        lab.ec2().enable_image_deprecation(ImageId=image_id, DeprecateAt=in_days(lab, 900))


def test_a_public_image_is_deprecated_after_two_years_by_itself(lab: Lab) -> None:
    """EC2 shows the date from the start."""
    image_id = lab.image()
    lab.publish(image_id)
    assert lab.show(image_id)["DeprecationTime"].startswith("2029-01-14")


def test_a_deprecated_image_is_listed_for_its_owner_only(lab: Lab) -> None:
    """Others see it by its id, or when they ask for deprecated ones."""
    image_id = lab.image()
    lab.publish(image_id)
    lab.ec2().enable_image_deprecation(ImageId=image_id, DeprecateAt=in_days(lab, 1))
    lab.wait(2 * DAY)
    stranger = lab.ec2(account=STRANGER)
    assert stranger.describe_images()["Images"] == []
    assert len(stranger.describe_images(IncludeDeprecated=True)["Images"]) == 1
    assert len(stranger.describe_images(ImageIds=[image_id])["Images"]) == 1
    assert len(lab.ec2().describe_images()["Images"]) == 1


def test_disabling_takes_all_shares_for_good(lab: Lab) -> None:
    """A disabled image is hidden and cannot be shared; enabled again, it is its owner's alone."""
    image_id = lab.image()
    lab.publish(image_id)
    lab.ec2().disable_image(ImageId=image_id)
    assert lab.ec2().describe_images(Owners=["self"])["Images"] == []
    (shown,) = lab.ec2().describe_images(Owners=["self"], IncludeDisabled=True)["Images"]
    assert (shown["State"], shown["Public"]) == ("disabled", False)
    with refused("InvalidAMIID.Unavailable"):
        lab.publish(image_id)
    lab.ec2().enable_image(ImageId=image_id)
    assert (lab.show(image_id)["State"], lab.show(image_id)["Public"]) == ("available", False)


@pytest.mark.parametrize("cooldown", [False, True])
def test_a_protected_image_is_not_deregistered(lab: Lab, cooldown: bool) -> None:
    """With a cooldown, not even for a day after the protection has ended."""
    image_id = lab.image()
    lab.ec2().enable_image_deregistration_protection(ImageId=image_id, WithCooldown=cooldown)
    assert lab.show(image_id)["DeregistrationProtection"] == (
        "enabled-with-cooldown" if cooldown else "enabled-without-cooldown"
    )
    with refused("OperationNotPermitted"):
        lab.ec2().deregister_image(ImageId=image_id)
    lab.ec2().disable_image_deregistration_protection(ImageId=image_id)
    if cooldown:
        with refused("OperationNotPermitted"):
            lab.ec2().deregister_image(ImageId=image_id)
        lab.wait(DAY + 1)
    lab.ec2().deregister_image(ImageId=image_id)
