"""Snapshots as EC2 has them: describing, copying, deleting, and who may create volumes from them.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html, API_CopySnapshot.html,
API_DeleteSnapshot.html, API_ModifySnapshotAttribute.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from broadside.local.ebs.store import Snapshot, new_id
from broadside.local.ec2 import errors, views
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.query import View, page, select, tag_list
from broadside.local.ec2.validation import (
    check_account_id,
    check_choice,
    check_description,
    check_snapshot_id,
    tag_specifications,
)

FILTERS = {
    "description": "Description",
    "encrypted": "Encrypted",
    "owner-alias": "OwnerAlias",
    "owner-id": "OwnerId",
    "progress": "Progress",
    "snapshot-id": "SnapshotId",
    "start-time": "StartTime",
    "status": "State",
    "storage-tier": "StorageTier",
    "transfer-type": "TransferType",
    "volume-id": "VolumeId",
    "volume-size": "VolumeSize",
}
PAGE_SIZES = range(5, 1001)
#: Copies of snapshots to one Region at a time; images are copied under a quota of their own.
CONCURRENT_COPIES = 20
#: The volume that every copy names as its own: it stands for nothing.
_COPY_VOLUME = "vol-0fffffffffffffffe"


def describe(cloud: Cloud, call: Call) -> View:
    """DescribeSnapshots.

    Raises:
        Ec2Error: InvalidSnapshotID.Malformed; InvalidSnapshot.NotFound; InvalidParameterValue for an unknown filter;
            InvalidPaginationToken.
    """
    known = {snapshot.snapshot_id: snapshot for snapshot in cloud.snapshots.in_region(call.region)}
    known = {key: one for key, one in known.items() if cloud.visible(one) and one.readable_by(call.account_id)}
    asked: list[str] = call.get("SnapshotIds", [])
    for snapshot_id in asked:
        check_snapshot_id(snapshot_id)
        if snapshot_id not in known:
            raise errors.unknown_snapshot(snapshot_id)
    snapshots = [known[snapshot_id] for snapshot_id in dict.fromkeys(asked or known)]
    owners = {call.account_id if owner == "self" else owner for owner in call.get("OwnerIds", [])}
    users = {call.account_id if user == "self" else user for user in call.get("RestorableByUserIds", [])}
    shown = [
        views.snapshot(cloud, one)
        for one in snapshots
        if (not owners or one.owner_id in owners) and (not users or one.shared_with & users or one.owner_id in users)
    ]
    found = select(shown, call.get("Filters", []), FILTERS)
    return page(call.parameters, "Snapshots", found, "SnapshotId", PAGE_SIZES)


def copy(cloud: Cloud, call: Call) -> View:
    """CopySnapshot.  It has no client token: each call makes a copy.

    Raises:
        Ec2Error: InvalidSnapshot.NotFound; IncorrectState unless the source is completed; ResourceLimitExceeded.
    """
    description = call.get("Description", "")
    check_description(description)
    tags = tag_specifications(call.get("TagSpecifications", []), ["snapshot"])["snapshot"]
    region = call.need("SourceRegion")
    if not cloud.world.region_open(region):
        raise errors.invalid_value(f"Value ({region}) for parameter SourceRegion is invalid. Invalid region")
    source = cloud.snapshot(replace(call, region=region), call.need("SourceSnapshotId"))
    if cloud.snapshot_state(source) != "completed":
        raise errors.incomplete_snapshot(source.snapshot_id)
    _check_copy_quota(cloud, call)
    now = cloud.now()
    snapshot = Snapshot(
        snapshot_id=new_id("snap"),
        owner_id=call.account_id,
        region=call.region,
        volume_size=source.volume_size,
        content=source.content,
        created=now,
        description=description,
        tags=tags,
        encrypted=source.encrypted or call.get("Encrypted", False),
        kms_key=call.get("KmsKeyId"),
        volume_id=_COPY_VOLUME,
        completes_at=now + cloud.behaviour.copy_time(call.region),
        failure="The copy failed." if call.region in cloud.behaviour.failing_copies else "",
    )
    return {"SnapshotId": cloud.snapshots.add(snapshot).snapshot_id, "Tags": tag_list(tags)}


def delete(cloud: Cloud, call: Call) -> View:
    """DeleteSnapshot.  Its blocks stay as long as a copy or a child needs them.

    Raises:
        Ec2Error: InvalidSnapshot.NotFound; InvalidSnapshot.InUse while it backs an image; AuthFailure.
    """
    snapshot = cloud.own_snapshot(call, call.need("SnapshotId"))
    using = cloud.using(snapshot)
    if using:
        raise errors.snapshot_in_use(snapshot.snapshot_id, using[0].image_id)
    cloud.snapshots.remove(snapshot)
    return {}


def describe_attribute(cloud: Cloud, call: Call) -> View:
    """DescribeSnapshotAttribute, for the owner.

    Raises:
        Ec2Error: InvalidSnapshot.NotFound; AuthFailure; InvalidParameterValue.
    """
    snapshot = cloud.own_snapshot(call, call.need("SnapshotId"))
    attribute = call.need("Attribute")
    check_choice("attribute", attribute, ("productCodes", "createVolumePermission"))
    if attribute == "productCodes":
        return {"SnapshotId": snapshot.snapshot_id, "ProductCodes": []}
    permissions = [{"Group": who} if who == "all" else {"UserId": who} for who in sorted(snapshot.shared_with)]
    return {"SnapshotId": snapshot.snapshot_id, "CreateVolumePermissions": permissions}


def modify_attribute(cloud: Cloud, call: Call) -> View:
    """ModifySnapshotAttribute: createVolumePermission, added to or removed from, not both in a call.

    Raises:
        Ec2Error: InvalidSnapshot.NotFound; AuthFailure; InvalidParameterCombination; OperationNotPermitted where public
            access is blocked, or the snapshot is encrypted.
    """
    snapshot = cloud.own_snapshot(call, call.need("SnapshotId"))
    check_choice("attribute", call.get("Attribute"), ("createVolumePermission",))
    added, removed = _permissions(call)
    if added and removed:
        raise errors.bad_combination("Permissions can be added or removed in a call, not both.")
    if not added and not removed:
        raise errors.bad_combination("No attributes specified.")
    for who in (added | removed) - {"all"}:
        check_account_id(who)
    if "all" in added - snapshot.shared_with:
        _check_publishable(cloud, call, snapshot)
    snapshot.shared_with |= added
    snapshot.shared_with -= removed
    return {}


def reset_attribute(cloud: Cloud, call: Call) -> View:
    """ResetSnapshotAttribute: createVolumePermission, back to the owner's alone.

    Raises:
        Ec2Error: InvalidSnapshot.NotFound; AuthFailure; InvalidParameterValue.
    """
    snapshot = cloud.own_snapshot(call, call.need("SnapshotId"))
    check_choice("attribute", call.need("Attribute"), ("createVolumePermission",))
    snapshot.shared_with.clear()
    return {}


def _permissions(call: Call) -> tuple[set[str], set[str]]:
    """Who the request adds and whom it removes, in either of its two spellings."""
    structure: Mapping[str, Sequence[Mapping[str, str]]] = call.get("CreateVolumePermission", {})
    added, removed = ({who for item in structure.get(side, []) for who in item.values()} for side in ("Add", "Remove"))
    flat = {*call.get("GroupNames", []), *call.get("UserIds", [])}
    operation = call.get("OperationType")
    check_choice("operationType", operation, ("add", "remove"))
    if flat and operation is None:
        raise errors.missing("OperationType")
    return (added | flat, removed) if operation == "add" else (added, removed | flat)


def _check_publishable(cloud: Cloud, call: Call, snapshot: Snapshot) -> None:
    if snapshot.encrypted:
        raise errors.not_permitted(f"The snapshot {snapshot.snapshot_id} is encrypted: it cannot be made public.")
    if cloud.snapshot_block.get(call.region):
        raise errors.not_permitted("You can't publicly share this snapshot because block public access is enabled.")


def _check_copy_quota(cloud: Cloud, call: Call) -> None:
    running = sum(
        one.volume_id == _COPY_VOLUME and one.owner_id == call.account_id and cloud.snapshot_state(one) == "pending"
        for one in cloud.snapshots.in_region(call.region)
    )
    if running >= CONCURRENT_COPIES:
        raise errors.limit_exceeded(f"{running} snapshot copies are in progress to {call.region}: that is the quota.")
