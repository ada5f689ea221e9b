"""The steps of the publish state machine; ``infra/publish.asl.yaml`` says in which order they come."""

from __future__ import annotations

from typing import Any

from chalicelib.builds.files import verify
from chalicelib.errors import CloudRefused
from chalicelib.handlers import memory, wiring
from chalicelib.handlers.edge import BuildPayload, step
from chalicelib.index.records import BuildRecord
from chalicelib.observability import count, logger
from chalicelib.rollout import regions
from chalicelib.rollout.downloads import expose
from chalicelib.rollout.outcome import sentence, summary
from chalicelib.snapshots import everywhere
from chalicelib.snapshots.lifecycle import give_up

memory.give_large_buffers_back()


class BuildStep(BuildPayload):
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


class StartStep(BuildStep):
    """A step that concerns a build in several Regions."""

    regions: list[str]


class ShardStep(BuildStep):
    """Writing the shard of a build that begins at block ``start``."""

    start: int


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
def read_disk(payload: BuildStep) -> dict[str, Any]:
    """Look at the disk that the image holds, unpack it where it has to be, and record its size."""
    record = payload.record()
    size = wiring.images().prepare(record)
    wiring.index().set_build(record.id, disk_size=size)
    return {"disk_size": size}


@step(BuildStep)
def plan_regions(payload: BuildStep) -> dict[str, Any]:
    """Find the Regions, and whether the build goes public in them at once."""
    unfinished, release = regions.plan(wiring.index(), wiring.home("ec2"), payload.record())
    return {"regions": unfinished, "release": release}


@step(StartStep)
def start_snapshots(payload: StartStep) -> dict[str, Any]:
    """Start the snapshots of all Regions, or go on with those that are there; answer the shards still to be written."""
    record = payload.record()
    written, copied = regions.ways(payload.regions, wiring.settings().region, wiring.index().publications(record.id), record)
    troubles = everywhere.start(wiring.index(), record, written, copied, lambda region: wiring.snapshots(record, region))
    for region, trouble in troubles.items():
        logger.warning(str(trouble), region=region)
    shards = everywhere.left_to_write(wiring.index(), record, wiring.receipts(record))
    return {"shards": [shard.start for shard in shards]}


@step(ShardStep)
def write_shard(payload: ShardStep) -> dict[str, Any]:
    """Write one shard of the disk into the snapshots of all Regions; one that falls behind catches up by itself."""
    troubles = wiring.shard_writer(payload.record()).write(payload.start)
    for region, trouble in troubles.items():
        logger.warning(str(trouble), region=region)
    return {"behind": sorted(troubles)}


@step(RegionStep)
def complete_snapshot(payload: RegionStep) -> dict[str, Any]:
    """Seal one Region's snapshot, if all is written."""
    record = payload.record()
    return {"status": wiring.snapshots(record, payload.region).complete(record, wiring.receipts(record))}


@step(RegionStep)
def catch_up(payload: RegionStep) -> dict[str, Any]:
    """Write what one Region's snapshot lacks, for as long as one invocation may take."""
    record, region = payload.record(), payload.region
    wiring.snapshots(record, region).start(record, wiring.index().lineages(record.id.product).get(region))
    return {"caught_up": wiring.shard_writer(record).catch_up(region)}


@step(Failure)
def fall_back(payload: Failure) -> dict[str, Any]:
    """Have a Region that takes no blocks copy the AMI from home instead."""
    record = payload.record()
    if payload.region == wiring.settings().region:
        raise CloudRefused(f"There is nowhere to copy from. {sentence(payload.error)}", region=payload.region)
    give_up(wiring.index(), record, payload.region)
    return {"region": payload.region}


@step(RegionStep)
def register_image(payload: RegionStep) -> dict[str, Any]:
    """Register the AMI from the Region's own snapshot, or copy it from home."""
    return {"status": wiring.regional(payload.record(), payload.region).register()}


@step(RegionStep)
def check_image(payload: RegionStep) -> dict[str, Any]:
    """Stage the AMI once it is available and as its manifest asks; then look whether the build is released."""
    record, region = payload.record(), payload.region
    status = wiring.regional(record, region).check()
    return {"status": status, "release": bool(wiring.index().publication(record.id, region).released_at)}


@step(RegionStep)
def make_public(payload: RegionStep) -> dict[str, Any]:
    """Give the staged AMI to everybody."""
    wiring.sharing(payload.record(), payload.region).open()
    return {"region": payload.region}


@step(RegionStep)
def check_public(payload: RegionStep) -> dict[str, Any]:
    """See the AMI as an outsider does; from then on the public files may name it."""
    wiring.sharing(payload.record(), payload.region).confirm()
    return {"region": payload.region}


@step(RegionStep)
def make_private(payload: RegionStep) -> dict[str, Any]:
    """Take the AMI away from everybody."""
    wiring.sharing(payload.record(), payload.region).close()
    return {"region": payload.region}


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
