"""EBS direct: snapshots that are written and read block by block, as strict as AWS's own API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broadside.local.ebs import http, responses
from broadside.local.ebs.service import EbsService

if TYPE_CHECKING:
    from broadside.local.world import World


def install(world: World) -> EbsService:
    """Let this process's moto answer the EBS direct APIs with ``world``'s snapshots."""
    service = EbsService(world)
    responses.patch(service)
    http.serve(service)
    return service
