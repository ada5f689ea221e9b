"""Where a function's parts are put together: the index, the clients and the rooms, from the settings."""

from __future__ import annotations

from functools import lru_cache

from botocore.config import Config

from chalicelib import aws, policy
from chalicelib.builds.image import Images
from chalicelib.builds.ingest import Ingest
from chalicelib.errors import SetupWrong
from chalicelib.images.regional import RegionalImage
from chalicelib.images.sharing import Sharing
from chalicelib.index.records import BuildRecord
from chalicelib.index.table import Index
from chalicelib.names import BuildId
from chalicelib.rollout.conclude import Outcome
from chalicelib.rollout.downloads import all_exposed
from chalicelib.rollout.driver import Driver
from chalicelib.rollout.gates import Gates
from chalicelib.settings import Settings
from chalicelib.snapshots import writer
from chalicelib.snapshots.digests import DigestLists, Receipts
from chalicelib.snapshots.lifecycle import Snapshots
from chalicelib.snapshots.shards import ShardWriter
from chalicelib.streams.named import named


@lru_cache(maxsize=1)
def settings() -> Settings:
    return Settings.from_environment()


@lru_cache(maxsize=1)
def index() -> Index:
    return Index(settings().index_table, home("dynamodb"))


def home(service: str) -> aws.Client:
    """A client in the stack's own Region."""
    return aws.client(service, settings().region)


def intake() -> Ingest:
    names = settings()
    return Ingest(
        index(), home("s3"), home("stepfunctions"), names.builds_bucket, names.work_bucket, names.publish_state_machine
    )


def record(build: BuildId, digest: str) -> BuildRecord:
    """The build's record, which is there before any step runs.

    Raises:
        SetupWrong: it is not; or it is that of another manifest, which took the place of one that was refused, and a late
            step of the old publication has no say in it.
    """
    found = index().build(build)
    if found is None:
        raise SetupWrong(f"The index has no build {build}: start publishing by uploading its manifest.")
    if found.digest != digest:
        raise SetupWrong(f"The build {build} was uploaded anew with another manifest: this publication of it is over.")
    return found


def images() -> Images:
    """The disks in the builds' images."""
    return Images(home("s3"), settings().builds_bucket, settings().work_bucket)


def digest_lists() -> DigestLists:
    return DigestLists(home("s3"), settings().work_bucket)


def receipts(record: BuildRecord) -> Receipts:
    """What is known to be written of a build."""
    return Receipts(home("s3"), settings().work_bucket, record.digest)


def snapshots(record: BuildRecord, region: str) -> Snapshots:
    """The snapshots of a Region, for a build of the record's stream."""
    return Snapshots(
        index(), aws.client("ec2", region), aws.client("ebs", region), digest_lists(), skip_zeros=skips_zeros(record)
    )


def shard_writer(record: BuildRecord) -> ShardWriter:
    """Writes the shards of a build."""
    return ShardWriter(
        index(),
        digest_lists(),
        receipts(record),
        record,
        images().open(record).read,
        ebs_writer,
        skip_zeros=skips_zeros(record),
    )


def skips_zeros(record: BuildRecord) -> bool:
    return policy.for_stream(record.id.stream).zero_blocks == "skip"


def ebs_writer(region: str) -> aws.Client:
    """An EBS direct client with a connection for each of the block writer's threads that may write to one Region."""
    return aws.client("ebs", region, _writer_settings())


@lru_cache(maxsize=1)
def _writer_settings() -> Config:
    return aws.config(connections=writer.CONNECTIONS, read_timeout=writer.READ_TIMEOUT, attempts=writer.ATTEMPTS)


def regional(record: BuildRecord, region: str) -> RegionalImage:
    """The AMI of a build in a Region."""
    return RegionalImage(index(), aws.client("ec2", region), record, settings().region, zeros_skipped=skips_zeros(record))


def sharing(record: BuildRecord, region: str) -> Sharing:
    """Who may have the AMI of a build in a Region."""
    stream = policy.for_stream(record.id.stream)
    return Sharing(index(), aws.client("ec2", region), aws.client("ssm", region), record, stream)


def driver() -> Driver:
    """Drives releases and withdrawals."""
    return Driver(
        index(),
        named=lambda stream: named(home("s3"), settings().public_bucket, stream),
        ask=Gates(home("cloudwatch"), home("lambda")).ask,
        exposed=lambda record: all_exposed(home("s3"), settings().public_bucket, record),
    )


def outcome() -> Outcome:
    return Outcome(index(), home("s3"), settings().builds_bucket)
