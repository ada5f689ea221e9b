"""What is looked after on a schedule."""

from __future__ import annotations

from typing import Any

from chalicelib import aws
from chalicelib.handlers import wiring
from chalicelib.handlers.edge import source
from chalicelib.index.records import PublicationState
from chalicelib.observability import logger
from chalicelib.rollout import orphans, regions


@source
def clear_orphans(_event: dict[str, Any]) -> dict[str, Any]:
    """Delete the snapshots that were begun and that no publication owns any more."""
    found = regions.discover(wiring.home("ec2"))
    enabled = [region for region, state in found.items() if state is PublicationState.PLANNED]
    deleted, troubles = orphans.sweep(wiring.index(), enabled, lambda region: aws.client("ec2", region))
    for region, trouble in troubles.items():
        logger.warning(str(trouble), region=region)
    return {"deleted": deleted, "not_looked_at": sorted(troubles)}
