"""A builder's key, and the builds bucket, the work bucket, the index and a state machine on moto, in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib import aws
from chalicelib.builds.ingest import KEYRING_KEY, Ingest
from chalicelib.index.table import Index
from tests.builds.yard import REGION, Calls, Yard
from tests.keys import Key, new_key


@pytest.fixture(scope="session")
def builder() -> Iterator[Key]:
    """The key that the builders' keyring holds."""
    with new_key("builder") as key:
        yield key


@pytest.fixture
def yard(builder: Key, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        calls = Calls()
        clients = {name: _client(session, name, calls) for name in ("s3", "dynamodb", "stepfunctions")}
        _deploy(clients, builder.public)
        yard = Yard(builder, clients["s3"], clients["stepfunctions"], calls)
        yard.index = Index("index", clients["dynamodb"], now=lambda: yard.now)
        machine = clients["stepfunctions"].list_state_machines()["stateMachines"][0]["stateMachineArn"]
        yard.room = Ingest(yard.index, clients["s3"], clients["stepfunctions"], "builds", "work", machine)
        calls.clear()
        yield yard


def _client(session: Any, service: str, calls: Calls) -> aws.Client:
    made = session.client(service, config=aws.config())
    made.meta.events.register("before-call", calls.note)
    return aws.Client(service, REGION, made)


def _deploy(clients: dict[str, aws.Client], keyring: bytes) -> None:
    for bucket in ("builds", "work"):
        clients["s3"].create_bucket(Bucket=bucket)
    clients["s3"].put_bucket_versioning(Bucket="builds", VersioningConfiguration={"Status": "Enabled"})
    clients["s3"].put_object(Bucket="work", Key=KEYRING_KEY, Body=keyring)
    clients["dynamodb"].create_table(
        TableName="index",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
    clients["stepfunctions"].create_state_machine(
        name="publish", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/machine"
    )
