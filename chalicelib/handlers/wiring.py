"""Where a function's parts are put together: the index, the clients and the rooms, from the settings."""

from __future__ import annotations

from functools import lru_cache

from chalicelib import aws
from chalicelib.builds.ingest import Ingest
from chalicelib.errors import SetupWrong
from chalicelib.images.regional import RegionalImage
from chalicelib.index.records import BuildRecord
from chalicelib.index.table import Index
from chalicelib.names import BuildId
from chalicelib.rollout.conclude import Outcome
from chalicelib.settings import Settings
from chalicelib.snapshots.lifecycle import Snapshots
from chalicelib.snapshots.writer import CONNECTIONS


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


def snapshots() -> Snapshots:
    """The snapshots of the home Region."""
    region = settings().region
    return Snapshots(index(), home("ec2"), ebs(region), home("s3"), settings().work_bucket)


def ebs(region: str) -> aws.Client:
    """An EBS direct client with a connection for each thread of the block writer."""
    return aws.client("ebs", region, CONNECTIONS)


def regional(record: BuildRecord, region: str) -> RegionalImage:
    """The AMI of a build in a Region."""
    return RegionalImage(index(), aws.client("ec2", region), record, settings().region)


def outcome() -> Outcome:
    return Outcome(index(), home("s3"), settings().builds_bucket)
