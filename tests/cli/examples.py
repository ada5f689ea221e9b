"""Records to show, as short as a test needs them."""

from __future__ import annotations

from typing import Any

from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState
from chalicelib.names import BuildId

DAILY = BuildId("com.example.cloud:server:24.04:amd64", "daily", "20261120")
HELD = BuildId("com.example.cloud:server:24.04:amd64", "released", "20261120")
DIGEST = "a" * 64


def record(build: BuildId = DAILY, state: BuildState = BuildState.PUBLIC, **fields: Any) -> BuildRecord:
    manifest = {"release": "noble", "version": "24.04", "arch": build.product.rpartition(":")[2], "files": []}
    defaults: dict[str, Any] = {
        "digest": DIGEST,
        "manifest": manifest,
        "manifest_key": f"{build.folder}/build.sjson",
        "manifest_version": "v1",
        "signer": "F" * 40,
        "files": (),
        "created": "2026-11-20T10:00:00Z",
        "updated": "2026-11-20T10:05:00Z",
    }
    return BuildRecord(id=build, state=state, **(defaults | fields))


def publication(region: str, state: PublicationState, build: BuildId = DAILY, **fields: Any) -> Publication:
    return Publication(build=build, region=region, state=state, updated="2026-11-20T10:05:00Z", **fields)
