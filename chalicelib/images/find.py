"""Finding the AMI of a build in a Region: by what the index says, by its tag, by its name."""

from __future__ import annotations

from typing import Any

from chalicelib import aws
from chalicelib.errors import CloudBusy
from chalicelib.names import TAG_DIGEST

Image = dict[str, Any]

#: States of an AMI from which it never becomes available.
DEAD_STATES = frozenset({"failed", "error", "invalid", "deregistered"})

#: EC2's codes for an id that it does not know yet, and one that it has forgotten since.
UNKNOWN = frozenset({"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"})


def by_id(ec2: aws.Client, image_id: str) -> Image | None:
    """The image with that id, or None where EC2 does not know it (any more, or yet)."""
    try:
        images: list[Image] = ec2.describe_images(ImageIds=[image_id], IncludeDeprecated=True)["Images"]
    except CloudBusy as error:
        if error.code not in UNKNOWN:
            raise
        return None
    return images[0] if images else None


def by_digest(ec2: aws.Client, digest: str) -> Image | None:
    """Our image that carries the manifest's digest as its tag.  A dead one may be seen long after another took its place, and
    counts only where there is no other; of several the oldest.
    """
    return _oldest(ec2, f"tag:{TAG_DIGEST}", digest)


def by_name(ec2: aws.Client, name: str) -> Image | None:
    """Our image of that name."""
    return _oldest(ec2, "name", name)


def _oldest(ec2: aws.Client, name: str, value: str) -> Image | None:
    found = ec2.pages(
        "describe_images", "Images", Owners=["self"], IncludeDeprecated=True, Filters=[{"Name": name, "Values": [value]}]
    )
    return min(
        found,
        key=lambda image: (image["State"] in DEAD_STATES, image["CreationDate"], image["ImageId"]),
        default=None,
    )
