"""The steps of the publish state machine; ``infra/publish.asl.json`` says in which order they come."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from chalicelib import policy
from chalicelib.builds.files import stream, verify
from chalicelib.handlers import wiring
from chalicelib.handlers.edge import Payload, step
from chalicelib.index.records import BuildRecord, PinnedFile
from chalicelib.observability import count
from chalicelib.rollout import regions
from chalicelib.rollout.downloads import expose
from chalicelib.rollout.outcome import summary
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard
from chalicelib.snapshots.digests import DigestStore
from chalicelib.snapshots.writer import write_shard as write_blocks


class BuildStep(Payload):
    """A step that concerns a whole build; ``digest`` is its manifest's."""

    digest: str

    def record(self) -> BuildRecord:
        return wiring.record(self.id, self.digest)


class FileStep(BuildStep):
    """A step that concerns one file of a build, by its path in the manifest."""

    file: str


class RegionStep(BuildStep):
    """A step that concerns a build in one Region."""

    region: str


class ShardRange(BaseModel):
    """Blocks ``start`` to ``start + count``."""

    start: int
    count: int


class ShardStep(BuildStep):
    """Writing one shard into a snapshot."""

    snapshot_id: str
    shard: ShardRange


class Failure(BuildStep):
    """What stopped the build, or one Region of it; ``region`` is empty for the build as a whole."""

    region: str
    error: dict[str, Any]


class Conclusion(BuildStep):
    """``exposed``: the build's files have all been copied to the public bucket."""

    exposed: bool = False


@step(FileStep)
def verify_file(payload: FileStep) -> dict[str, Any]:
    """Check the SHA-256 of one pinned file against the signed manifest."""
    record = payload.record()
    verify(wiring.home("s3"), wiring.settings().builds_bucket, record, payload.file)
    return {"file": payload.file}


@step(BuildStep)
def plan_regions(payload: BuildStep) -> dict[str, Any]:
    """Find the Regions, and whether the build goes public in them at once."""
    unfinished, release = regions.plan(wiring.index(), wiring.home("ec2"), payload.record())
    return {"regions": unfinished, "release": release}


@step(BuildStep)
def start_snapshot(payload: BuildStep) -> dict[str, Any]:
    """Start the home Region's snapshot, or go on with the one that is there."""
    snapshot_id, missing = wiring.snapshots().start(payload.record())
    return {"snapshot_id": snapshot_id, "shards": [{"start": shard.start, "count": shard.count} for shard in missing]}


@step(ShardStep)
def write_shard(payload: ShardStep) -> dict[str, Any]:
    """Write one shard of the image, then leave its digests as the proof."""
    settings, record = wiring.settings(), payload.record()
    shard = Shard(payload.shard.start, payload.shard.count)
    image = _image(record.manifest["ec2"]["image"], record.files)
    first = shard.start * BLOCK_SIZE
    last = min(first + shard.count * BLOCK_SIZE, image.size)
    digests = write_blocks(
        wiring.ebs(settings.region),
        payload.snapshot_id,
        shard,
        stream(wiring.home("s3"), settings.builds_bucket, image, first, last),
        skip_zeros=policy.for_stream(record.id.stream).zero_blocks == "skip",
    )
    DigestStore(wiring.home("s3"), settings.work_bucket, payload.digest, payload.snapshot_id).put(shard, digests)
    return {"blocks": shard.count}


def _image(path: str, files: tuple[PinnedFile, ...]) -> PinnedFile:
    return next(file for file in files if file.path == path)


@step(BuildStep)
def complete_snapshot(payload: BuildStep) -> dict[str, Any]:
    """Seal the home Region's snapshot."""
    return {"snapshot_id": wiring.snapshots().complete(payload.record())}


@step(RegionStep)
def register_image(payload: RegionStep) -> dict[str, Any]:
    """Register the AMI at home, copy it elsewhere."""
    return {"status": wiring.regional(payload.record(), payload.region).register()}


@step(RegionStep)
def check_image(payload: RegionStep) -> dict[str, Any]:
    """Stage the AMI once it is available and as its manifest asks; then look whether the build is released."""
    status = wiring.regional(payload.record(), payload.region).check()
    return {"status": status, "release": bool(payload.record().released_at)}


@step(RegionStep)
def make_public(payload: RegionStep) -> dict[str, Any]:
    """Share the staged AMI with everybody."""
    return {"status": wiring.regional(payload.record(), payload.region).share()}


@step(FileStep)
def expose_file(payload: FileStep) -> dict[str, Any]:
    """Copy one file to where the download stream names it."""
    settings = wiring.settings()
    record = payload.record()
    return {"path": expose(wiring.home("s3"), record, payload.file, settings.builds_bucket, settings.public_bucket)}


@step(Failure)
def record_failure(payload: Failure) -> dict[str, Any]:
    """Write down why the build, or one Region of it, failed."""
    record = payload.record()
    if payload.region:
        wiring.outcome().fail_region(record, payload.region, payload.error)
        count("RegionFailed")
    else:
        wiring.outcome().fail_build(record, payload.error)
    return {"region": payload.region}


@step(Conclusion)
def conclude(payload: Conclusion) -> dict[str, Any]:
    """Sum up; or, with ``exposed``, record that the files can be downloaded."""
    record = payload.record()
    if payload.exposed:
        wiring.index().set_build(record.id, downloads=True)
        return {"downloads": True}
    after = wiring.outcome().conclude(record)
    return {"state": after.state, **summary(wiring.index().publications(record.id))}
