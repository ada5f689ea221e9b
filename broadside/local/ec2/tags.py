"""Tags of images, snapshots and import tasks; those of everything else are moto's.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broadside.local.ec2 import errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.query import View, select
from broadside.local.ec2.validation import check_tags

FILTERS = {"key": "Key", "resource-id": "ResourceId", "resource-type": "ResourceType", "value": "Value"}
_PREFIXES = ("ami-", "snap-", "import-snap-")


def ours(resource_id: str) -> bool:
    """Whether a resource is kept here, and not by moto."""
    return resource_id.startswith(_PREFIXES)


def create(cloud: Cloud, call: Call, resource_ids: Sequence[str]) -> None:
    """CreateTags on our resources: all of them or none.

    Raises:
        Ec2Error: the resource's NotFound; TagLimitExceeded; InvalidParameterValue.
    """
    given = {tag["Key"]: tag.get("Value", "") for tag in call.need("Tags")}
    held = [_tags(cloud, call, resource_id) for resource_id in resource_ids]
    for tags in held:
        check_tags(tags | given)
    for tags in held:
        tags.update(given)


def delete(cloud: Cloud, call: Call, resource_ids: Sequence[str]) -> None:
    """DeleteTags on our resources: all tags, those of the keys, or those of the keys with the values.

    Raises:
        Ec2Error: the resource's NotFound.
    """
    given: Sequence[Mapping[str, Any]] = call.get("Tags", [])
    for tags in [_tags(cloud, call, resource_id) for resource_id in resource_ids]:
        if not given:
            tags.clear()
        for tag in given:
            if tag.get("Value") in (None, tags.get(tag["Key"])):
                tags.pop(tag["Key"], None)


def described(cloud: Cloud, call: Call) -> list[View]:
    """What DescribeTags lists of our resources.

    Raises:
        Ec2Error: InvalidParameterValue for an unknown filter.
    """
    rows = [
        {"Key": key, "ResourceId": resource_id, "ResourceType": kind, "Value": value, "Tags": [{"Key": key, "Value": value}]}
        for resource_id, kind, tags in _held(cloud, call)
        for key, value in tags.items()
    ]
    found = select(rows, call.get("Filters", []), FILTERS)
    return [{name: value for name, value in row.items() if name != "Tags"} for row in found]


def _tags(cloud: Cloud, call: Call, resource_id: str) -> dict[str, str]:
    if resource_id.startswith("ami-"):
        return cloud.own_image(call, resource_id).tags
    if resource_id.startswith("snap-"):
        return cloud.own_snapshot(call, resource_id).tags
    task = cloud.imports[call.region].get(resource_id)
    if task is None or task.owner_id != call.account_id:
        raise errors.Ec2Error("InvalidID", f"The ID '{resource_id}' is not valid")
    return task.tags


def _held(cloud: Cloud, call: Call) -> Iterator[tuple[str, str, dict[str, str]]]:
    for image in cloud.images[call.region].values():
        if image.owner_id == call.account_id:
            yield image.image_id, "image", image.tags
    for snapshot in cloud.snapshots.in_region(call.region):
        if snapshot.owner_id == call.account_id:
            yield snapshot.snapshot_id, "snapshot", snapshot.tags
    for task in cloud.imports[call.region].values():
        if task.owner_id == call.account_id:
            yield task.task_id, "import-snapshot-task", task.tags
