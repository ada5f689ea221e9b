"""moto's EC2 responses, answered by our cloud: moto dispatches and parses the call and serialises the result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ec2.responses import EC2Response

from broadside.local.ec2 import (
    attributes,
    images,
    imports,
    public_access,
    regions,
    registering,
    retirement,
    snapshots,
    tags,
    usage,
)
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.query import View

_Action = Callable[[Cloud, Call], View]

ACTIONS: dict[str, _Action] = {
    "DescribeRegions": regions.describe,
    "RegisterImage": registering.register,
    "CopyImage": registering.copy,
    "DeregisterImage": registering.deregister,
    "DescribeImages": images.describe,
    "DescribeImageAttribute": attributes.describe,
    "ModifyImageAttribute": attributes.modify,
    "ResetImageAttribute": attributes.reset,
    "EnableImageDeprecation": retirement.enable_deprecation,
    "DisableImageDeprecation": retirement.disable_deprecation,
    "EnableImage": retirement.enable,
    "DisableImage": retirement.disable,
    "EnableImageDeregistrationProtection": retirement.protect,
    "DisableImageDeregistrationProtection": retirement.unprotect,
    "CreateImageUsageReport": usage.create,
    "DeleteImageUsageReport": usage.delete,
    "DescribeImageUsageReports": usage.describe,
    "DescribeImageUsageReportEntries": usage.entries,
    "DescribeImageReferences": usage.references,
    "GetImageBlockPublicAccessState": public_access.image_state,
    "EnableImageBlockPublicAccess": public_access.block_images,
    "DisableImageBlockPublicAccess": public_access.unblock_images,
    "GetSnapshotBlockPublicAccessState": public_access.snapshot_state,
    "EnableSnapshotBlockPublicAccess": public_access.block_snapshots,
    "DisableSnapshotBlockPublicAccess": public_access.unblock_snapshots,
    "DescribeSnapshots": snapshots.describe,
    "CopySnapshot": snapshots.copy,
    "DeleteSnapshot": snapshots.delete,
    "DescribeSnapshotAttribute": snapshots.describe_attribute,
    "ModifySnapshotAttribute": snapshots.modify_attribute,
    "ResetSnapshotAttribute": snapshots.reset_attribute,
    "ImportSnapshot": imports.start,
    "DescribeImportSnapshotTasks": imports.describe,
}
#: Reads gigabytes, and takes a lock of its own.
_UNLOCKED = {"ImportSnapshot"}
_TAG_METHODS = ("create_tags", "delete_tags", "describe_tags")


def patch(cloud: Cloud) -> None:
    """Let moto's EC2 answer these actions with ``cloud``; all others stay moto's."""
    for name, action in ACTIONS.items():
        setattr(EC2Response, camelcase_to_underscores(name), _method(cloud, action, locked=name not in _UNLOCKED))
    _patch_tags(cloud)


def _method(cloud: Cloud, action: _Action, *, locked: bool) -> Callable[[Any], ActionResult]:
    def method(response: Any) -> ActionResult:
        response.error_on_dryrun()
        with cloud.lock if locked else nullcontext():
            return ActionResult(action(cloud, _call(response)))

    return method


def _call(response: Any) -> Call:
    return Call(response.region, response.current_account, response.params)


def _patch_tags(cloud: Cloud) -> None:
    """CreateTags, DeleteTags and DescribeTags take resources of ours and of moto's, even in one call."""
    # What an earlier cloud of this process patched in must not be taken for moto's own.
    moto = {name: getattr(EC2Response, f"_moto_{name}", getattr(EC2Response, name)) for name in _TAG_METHODS}
    for name, original in moto.items():
        setattr(EC2Response, f"_moto_{name}", original)

    def changing(change: Callable[[Cloud, Call, list[str]], None], original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def method(response: Any) -> ActionResult:
            response.error_on_dryrun()
            resources: list[str] = response.params.get("Resources", [])
            with cloud.lock:
                change(cloud, _call(response), [it for it in resources if tags.ours(it)])
            response.params["Resources"] = [it for it in resources if not tags.ours(it)]
            return original(response) if response.params["Resources"] or not resources else ActionResult({})

        return method

    def describe(response: Any) -> ActionResult:
        others: Any = moto["describe_tags"](response).result
        with cloud.lock:
            return ActionResult({"Tags": [*tags.described(cloud, _call(response)), *others["Tags"]]})

    methods = {
        "create_tags": changing(tags.create, moto["create_tags"]),
        "delete_tags": changing(tags.delete, moto["delete_tags"]),
        "describe_tags": describe,
    }
    for name, method in methods.items():
        setattr(EC2Response, name, method)
