"""Block public access, for images and for snapshots: a setting of the account in a Region.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageBlockPublicAccess.html,
API_EnableSnapshotBlockPublicAccess.html
"""

from __future__ import annotations

from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.query import View
from broadside.local.ec2.validation import check_choice

UNBLOCKED = "unblocked"


def image_state(cloud: Cloud, call: Call) -> View:
    """GetImageBlockPublicAccessState."""
    return {"ImageBlockPublicAccessState": cloud.image_block_state(call.region), "ManagedBy": "account"}


def block_images(cloud: Cloud, call: Call) -> View:
    """EnableImageBlockPublicAccess: images that are public already stay so."""
    state = call.need("ImageBlockPublicAccessState")
    check_choice("imageBlockPublicAccessState", state, ("block-new-sharing",))
    cloud.image_block[call.region] = state
    return {"ImageBlockPublicAccessState": state}


def unblock_images(cloud: Cloud, call: Call) -> View:
    """DisableImageBlockPublicAccess."""
    cloud.image_block[call.region] = UNBLOCKED
    return {"ImageBlockPublicAccessState": UNBLOCKED}


def snapshot_state(cloud: Cloud, call: Call) -> View:
    """GetSnapshotBlockPublicAccessState."""
    return {"State": cloud.snapshot_block.get(call.region, UNBLOCKED), "ManagedBy": "account"}


def block_snapshots(cloud: Cloud, call: Call) -> View:
    """EnableSnapshotBlockPublicAccess."""
    state = call.need("State")
    check_choice("state", state, ("block-all-sharing", "block-new-sharing"))
    cloud.snapshot_block[call.region] = state
    return {"State": state}


def unblock_snapshots(cloud: Cloud, call: Call) -> View:
    """DisableSnapshotBlockPublicAccess."""
    cloud.snapshot_block.pop(call.region, None)
    return {"State": UNBLOCKED}
