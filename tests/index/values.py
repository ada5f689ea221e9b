"""Values that the tests of the index share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from chalicelib import aws
from chalicelib.index.records import BuildRecord, PinnedFile
from chalicelib.index.table import Index
from chalicelib.names import BuildId

TABLE = "index"
BUILD = BuildId("com.example.cloud:server:24.04:amd64", "daily", "20261120")


@dataclass
class Clock:
    """Tells the time as the index does, and moves on by a second each time it is asked."""

    time: datetime = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

    def __call__(self) -> str:
        self.time += timedelta(seconds=1)
        return self.time.strftime("%Y-%m-%dT%H:%M:%SZ")


def record(build: BuildId = BUILD, digest: str = "ab" * 32, **changes: Any) -> BuildRecord:
    """A build as ingest records it."""
    values: dict[str, Any] = {
        "manifest": {"format": "broadside-build:1", "aliases": [], "supported": False, "files": [{"size": 5 * 2**30}]},
        "manifest_key": f"{build.folder}/build.sjson",
        "manifest_version": "v1",
        "signer": "F" * 40,
        "files": (PinnedFile("disk.img", f"{build.folder}/disk.img", "v2", 5 * 2**30),),
        "created": "2026-11-20T09:00:00Z",
        "updated": "2026-11-20T09:00:00Z",
    } | changes
    return BuildRecord(id=build, digest=digest, **values)


def moto_client(service: str) -> aws.Client:
    """A client of moto's, to be made within ``mock_aws``."""
    session = boto3.session.Session(aws_access_key_id="testing", aws_secret_access_key="testing")  # noqa: S106 - moto asks for any
    return aws.Client(service, "us-east-1", session.client(service, region_name="us-east-1", config=aws.config()))


def empty_index(clock: Clock, client: aws.Client | None = None) -> Index:
    """A new table with the keys that the template gives it; moto's where no client says otherwise."""
    client = client or moto_client("dynamodb")
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )
    return Index(TABLE, client, now=clock)
