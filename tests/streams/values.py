"""Values that the tests of the streams share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chalicelib.index.records import BuildRecord, PinnedFile, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.names import BuildId
from tests.examples import manifest

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PRODUCT = "com.example.cloud:server:24.04:amd64"


#: The content of every disk.img here.
DISK = bytes(4096)


def record(build: BuildId, *, downloads_at: str = "", **changes: Any) -> BuildRecord:
    """A build as ingest records it; ``changes`` go into its manifest."""
    return BuildRecord(
        id=build,
        digest=f"{abs(hash(build)):064x}",
        manifest=manifest(DISK, build, **changes),
        manifest_key=f"{build.folder}/build.sjson",
        manifest_version="v1",
        signer="F" * 40,
        files=(PinnedFile("disk.img", f"{build.folder}/disk.img", "v2", 4096),),
        created="2026-11-20T09:00:00Z",
        updated="2026-11-20T09:00:00Z",
        downloads_at=downloads_at,
    )


def public(build: BuildId, region: str, *, state: PublicationState = PublicationState.PUBLIC, **facts: Any) -> Publication:
    """A publication with an AMI of its own."""
    facts.setdefault("image_id", f"ami-{build.serial.replace('.', '')}{region.replace('-', '')}")
    times = {"public": "2026-11-20T10:00:00Z"}
    return Publication(build, region, updated="2026-11-20T10:00:00Z", state=state, times=times, **facts)


def build(serial: str = "20261120", stream: str = "daily", product: str = PRODUCT) -> BuildId:
    return BuildId(product, stream, serial)


def make_public(index: Index, one: BuildId, *regions: str, **changes: Any) -> None:
    """Record a build, its downloads and its public AMIs."""
    index.record_build(record(one, **changes))
    index.plan(one, dict.fromkeys(regions, PublicationState.PLANNED))
    for region in regions:
        let_out(index, one, region, public(one, region).image_id)
    index.set_build(one, downloads=True)


def let_out(index: Index, one: BuildId, region: str, image_id: str) -> None:
    """Have the turn of one Region come, and its AMI be public."""
    index.open_region(one, region)
    index.advance(one, region, PublicationState.PUBLIC, image_id=image_id)
