"""What uploads wake: the event of an arrived object, and the schedule that finds what events lost."""

from __future__ import annotations

from typing import Any

from chalicelib.handlers import wiring
from chalicelib.handlers.edge import source
from chalicelib.observability import logger
from chalicelib.rollout import lost

#: The sweep runs every 15 minutes; once a day is often enough to look whether the public files are about to expire.
REFRESH_SECONDS = 24 * 60 * 60


@source
def ingest(event: dict[str, Any]) -> dict[str, Any]:
    """An object has arrived in the builds bucket (EventBridge, "Object Created", S3 user guide)."""
    key = str(event["detail"]["object"]["key"])
    logger.append_keys(key=key)
    upload = wiring.intake().arrived(key)
    if upload is None:
        return {"key": key}
    logger.info("ingest", build=upload.build, state=upload.state, reason=upload.reason)
    return {"key": key, "state": upload.state, "reason": upload.reason}


@source
def sweep(_event: dict[str, Any]) -> dict[str, Any]:
    """Find manifests whose event was lost, builds that never started or never ended, and public files that grow old."""
    wiring.index().touch_refresh(REFRESH_SECONDS)
    swept = wiring.intake().sweep()
    for upload in swept.looked_at:
        logger.info("swept", key=upload.key, build=upload.build, state=upload.state, reason=upload.reason)
    abandoned = lost.find(wiring.index(), wiring.home("stepfunctions"), wiring.settings().publish_state_machine)
    for record in abandoned:
        wiring.outcome().give_up(record, lost.REASON)
    return {"looked_at": len(swept.looked_at), "started": len(swept.started), "abandoned": len(abandoned)}
