"""EC2 images and snapshots, as strict as AWS's own; the rest of EC2 is moto's.

A caller belongs to the account that moto takes it for: that of its access key (``sts:AssumeRole`` gives one of another
account), or the one that the request header ``x-moto-account-id`` names.  So one can look from outside.
"""

from __future__ import annotations

from broadside.local.ec2 import responses
from broadside.local.ec2.cloud import Cloud
from broadside.local.world import World


def install(world: World) -> Cloud:
    """Let this process's moto answer EC2's image and snapshot actions with ``world``'s."""
    cloud = Cloud(world)
    responses.patch(cloud)
    return cloud
