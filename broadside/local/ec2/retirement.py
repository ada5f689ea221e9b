"""Deprecation, disabling and protection from deregistration.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html, API_DisableImage.html,
API_EnableImageDeregistrationProtection.html
"""

from __future__ import annotations

from datetime import UTC, datetime

from broadside.local.ec2 import errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import PUBLIC_LIFETIME
from broadside.local.ec2.query import View

#: How far ahead an image that is not public can be deprecated: ten years.
LATEST_DEPRECATION = 10 * 365 * 24 * 3600
COOLDOWN = 24 * 3600


def enable_deprecation(cloud: Cloud, call: Call) -> View:
    """EnableImageDeprecation: rounded to the minute, not in the past, a public image's within two years of its creation.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure; InvalidParameterValue.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    asked: datetime = call.need("DeprecateAt")
    when = round((asked if asked.tzinfo else asked.replace(tzinfo=UTC)).timestamp() / 60) * 60
    now = cloud.clock.wall()
    if when < now:
        raise errors.invalid_value("The specified deprecation time is in the past.")
    created = cloud.clock.date(image.created).timestamp()
    latest = created + PUBLIC_LIFETIME if image.public else now + LATEST_DEPRECATION
    if when > latest:
        raise errors.invalid_value(
            f"The deprecation time cannot be later than {datetime.fromtimestamp(latest, UTC):%Y-%m-%dT%H:%M:%SZ}."
        )
    image.deprecate_at = when
    return {"Return": True}


def disable_deprecation(cloud: Cloud, call: Call) -> View:
    """DisableImageDeprecation.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure.
    """
    cloud.own_image(call, call.need("ImageId")).deprecate_at = None
    return {"Return": True}


def disable(cloud: Cloud, call: Call) -> View:
    """DisableImage: nobody launches it, and all its shares are gone for good.

    Raises:
        Ec2Error: InvalidAMIID.* (.Unavailable while it is pending, or failed); AuthFailure.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    state = image.state(cloud.now())
    if state not in ("available", "disabled"):
        raise errors.unavailable_image(image.image_id, state)
    image.disabled = True
    image.permissions.clear()
    return {"Return": True}


def enable(cloud: Cloud, call: Call) -> View:
    """EnableImage: available again, shared with nobody.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure.
    """
    cloud.own_image(call, call.need("ImageId")).disabled = False
    return {"Return": True}


def protect(cloud: Cloud, call: Call) -> View:
    """EnableImageDeregistrationProtection.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    image.protection = "enabled-with-cooldown" if call.get("WithCooldown", False) else "enabled-without-cooldown"
    return {"Return": "true"}


def unprotect(cloud: Cloud, call: Call) -> View:
    """DisableImageDeregistrationProtection: with a cooldown, the image stays protected for another 24 hours.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    if image.protection == "enabled-with-cooldown":
        image.protected_until = cloud.now() + COOLDOWN
    image.protection = "disabled"
    return {"Return": "true"}
