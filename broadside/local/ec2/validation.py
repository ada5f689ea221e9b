"""What EC2 accepts: ids, names, tags and enumerations.  No state, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from broadside.local.ec2 import errors

_IMAGE_ID = re.compile(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?")
_SNAPSHOT_ID = re.compile(r"snap-[0-9a-f]{8}(?:[0-9a-f]{9})?")
#: RegisterImage and CopyImage name the characters that a name may have.
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_ACCOUNT_ID = re.compile(r"\d{12}")
_ORGANIZATION = re.compile(r"arn:[a-z-]+:organizations::\d{12}:organization/o-[a-z0-9]{10,32}")
_UNIT = re.compile(r"arn:[a-z-]+:organizations::\d{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}")

MAX_DESCRIPTION = 255
MAX_TAGS = 50


def check_image_id(image_id: str) -> None:
    """Raise InvalidAMIID.Malformed for what cannot be an image's id."""
    if not _IMAGE_ID.fullmatch(image_id):
        raise errors.malformed_image_id(image_id)


def check_snapshot_id(snapshot_id: str) -> None:
    """Raise InvalidSnapshotID.Malformed for what cannot be a snapshot's id."""
    if not _SNAPSHOT_ID.fullmatch(snapshot_id):
        raise errors.malformed_snapshot_id(snapshot_id)


def check_name(name: str) -> None:
    """Raise InvalidAMIName.Malformed for what cannot be an image's name."""
    if not _NAME.fullmatch(name):
        raise errors.Ec2Error(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
            "'(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
        )


def check_description(description: str) -> None:
    """Raise InvalidParameterValue for a description that is too long."""
    if len(description) > MAX_DESCRIPTION:
        raise errors.invalid_value(f"The description has {len(description)} characters; it may have {MAX_DESCRIPTION}.")


def check_choice(parameter: str, value: str | None, choices: Sequence[str]) -> None:
    """Raise InvalidParameterValue when there is a ``value`` and it is none of the ``choices``."""
    if value is not None and value not in choices:
        raise errors.invalid_value(
            f"Value ({value}) for parameter {parameter} is invalid. Valid values: {', '.join(choices)}."
        )


def check_account_id(account_id: str) -> None:
    """Raise InvalidAMIAttributeItemValue for what cannot be an account."""
    _check_item("userId", account_id, _ACCOUNT_ID)


def check_permission(kind: str, value: str) -> None:
    """Raise InvalidAMIAttributeItemValue for a launch permission that cannot be."""
    if kind == "Group":
        _check_item("group", value, re.compile("all"))
    elif kind == "UserId":
        check_account_id(value)
    elif kind == "OrganizationArn":
        _check_item("organizationArn", value, _ORGANIZATION)
    else:
        _check_item("organizationalUnitArn", value, _UNIT)


def _check_item(kind: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        message = f'Invalid attribute item value "{value}" for {kind} item type.'
        raise errors.Ec2Error("InvalidAMIAttributeItemValue", message)


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise for tags that EC2 does not take: too many, too long, or reserved."""
    if len(tags) > MAX_TAGS:
        raise errors.Ec2Error("TagLimitExceeded", "The maximum number of tags for a resource has been reached.")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise errors.invalid_value(f"Tag keys starting with 'aws:' are reserved for internal use: {key}")
        if not 1 <= len(key) <= 127:
            raise errors.invalid_value(f"Tag key exceeds the maximum length of 127 characters, or is empty: '{key}'")
        if len(value) > 255:
            raise errors.invalid_value(f"Tag value exceeds the maximum length of 255 characters: '{value}'")


def tag_specifications(specifications: Sequence[Mapping[str, Any]], allowed: Sequence[str]) -> dict[str, dict[str, str]]:
    """The tags that a request gives, by resource type.

    Raises:
        Ec2Error: InvalidParameterValue for a type that the action does not tag, or what :func:`check_tags` raises.
    """
    found: dict[str, dict[str, str]] = {kind: {} for kind in allowed}
    for specification in specifications:
        kind = specification.get("ResourceType", "")
        if kind not in found:
            raise errors.invalid_value(f"'{kind}' is not a valid taggable resource type for this operation.")
        for tag in specification.get("Tags", []):
            if tag["Key"] in found[kind]:
                raise errors.invalid_value(f"Duplicate tag key '{tag['Key']}' specified.")
            found[kind][tag["Key"]] = tag.get("Value", "")
    for tags in found.values():
        check_tags(tags)
    return found
