"""Records to show, as short as a test needs them."""

from __future__ import annotations

from typing import Any

from chalicelib.index.records import BuildRecord, BuildState, Method, Parent, Publication, PublicationState
from chalicelib.names import BuildId
from chalicelib.snapshots.blocks import BLOCK_SIZE

DAILY = BuildId("com.example.cloud:server:24.04:amd64", "daily", "20261120")
HELD = BuildId("com.example.cloud:server:24.04:amd64", "released", "20261120")
DIGEST = "a" * 64
PARENT = Parent("snap-1119", "20261119", "c" * 64)


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


def sealed(region: str, written: int, blocks: int, parent: Parent | None = PARENT, **fields: Any) -> Publication:
    """A public one whose snapshot was written."""
    of = {"method": Method.WRITE, "parent": parent, "blocks_written": written, "blocks": blocks, "image_id": f"ami-{region}"}
    return publication(region, PublicationState.PUBLIC, **{**of, **fields})


def disk(*contents: int) -> bytes:
    """The bytes of a disk of a few blocks: each filled with one number."""
    return b"".join(bytes([content]) * BLOCK_SIZE for content in contents)
