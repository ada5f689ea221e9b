"""The first step of the release state machine; its others are those of publishing."""

from __future__ import annotations

from typing import Any

from chalicelib.handlers import wiring
from chalicelib.handlers.edge import Payload, step
from chalicelib.rollout import release


class ReleaseStep(Payload):
    """``by`` is the ARN of whoever releases."""

    by: str


@step(ReleaseStep)
def begin_release(payload: ReleaseStep) -> dict[str, Any]:
    """Record the release; answer what the other steps need."""
    record, staged = release.begin(wiring.index(), payload.id, payload.by)
    return {
        "build": str(record.id),
        "digest": record.digest,
        "files": [file.path for file in record.files],
        "regions": staged,
    }
