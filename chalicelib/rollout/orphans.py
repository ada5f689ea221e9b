"""Snapshots that were begun for a publication which goes another way by now: nobody owns them, and nobody would miss them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib import aws
from chalicelib.errors import BadManifest, CloudError, SetupWrong
from chalicelib.index.records import Method, Publication
from chalicelib.index.table import Index
from chalicelib.names import TAG_BUILD, BuildId
from chalicelib.snapshots.lifecycle import DESCRIPTION

#: Regions at once.
AT_ONCE = 8


def sweep(index: Index, regions: Iterable[str], ec2: Callable[[str], aws.Client]) -> tuple[list[str], dict[str, CloudError]]:
    """Delete the snapshots of our builds that are pending or in error, were written, and belong to no publication.

    Args:
        ec2: makes the EC2 client of a Region.

    Returns:
        the snapshots that were deleted, and the Regions in which something went wrong.
    """
    deleted: list[str] = []
    troubles: dict[str, CloudError] = {}

    def clear(region: str) -> None:
        client = ec2(region)
        try:
            for snapshot in _unfinished(client):
                if not _owned(index, region, snapshot):
                    client.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
                    deleted.append(str(snapshot["SnapshotId"]))
        except CloudError as error:
            troubles[region] = error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(clear, regions))
    return sorted(deleted), troubles


def _unfinished(ec2: aws.Client) -> list[dict[str, Any]]:
    filters = [
        {"Name": "status", "Values": ["pending", "error"]},
        {"Name": "tag-key", "Values": [TAG_BUILD]},
        {"Name": "description", "Values": [f"{DESCRIPTION} *"]},  # not those of CopyImage
    ]
    return list(ec2.pages("describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=filters))


def _owned(index: Index, region: str, snapshot: dict[str, Any]) -> bool:
    """A publication's own snapshot, or one whose id is about to be recorded.

    One whose build nobody here has heard of is somebody's, too: another installation in the account has its own index.
    """
    name = next(tag["Value"] for tag in snapshot["Tags"] if tag["Key"] == TAG_BUILD)
    try:
        build = BuildId.parse(name)
    except BadManifest:
        return True
    try:
        publication = index.publication(build, region)
    except SetupWrong:  # no such publication
        return index.build(build) is None
    return _is_of(publication, str(snapshot["SnapshotId"]), str(snapshot["State"]))


def _is_of(publication: Publication, snapshot_id: str, state: str) -> bool:
    if publication.method is not Method.WRITE:
        return False
    return publication.snapshot_id in ("", snapshot_id) and state == "pending"
