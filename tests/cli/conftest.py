"""A deployed stack on moto, in process, with an index to fill by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from broadside.cli import main
from broadside.cli.common import Stack, open_index
from chalicelib import aws
from chalicelib.index.records import BuildRecord, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.names import TAG_DIGEST
from chalicelib.rollout.preflight import Inspector, RegionFacts
from chalicelib.snapshots.digests import DigestLists

REGION = "us-east-1"


@dataclass
class Regions:
    """What the Regions answer to whoever looks before a release: all is well, but for what a test says of one."""

    #: Our AMIs: the digest of their build by their id.
    digests: dict[str, str] = field(default_factory=dict)
    #: What is different in a Region, as fields of its facts.
    different: dict[str, dict[str, Any]] = field(default_factory=dict)

    def look(self, wanted: Mapping[str, list[str]]) -> dict[str, RegionFacts]:
        return {region: self._facts(region, ids) for region, ids in wanted.items()}

    def _facts(self, region: str, ids: list[str]) -> RegionFacts:
        images = {each: self._image(each) for each in ids if each in self.digests}
        well = RegionFacts(region, images, 0, 100, "unblocked", "unblocked")
        return replace(well, **self.different.get(region, {}))

    def _image(self, image_id: str) -> dict[str, Any]:
        tags = [{"Key": TAG_DIGEST, "Value": self.digests[image_id]}]
        return {"ImageId": image_id, "State": "available", "Tags": tags}


@dataclass
class Deployed:
    """The stack, its index, and the command line."""

    session: boto3.session.Session
    stack: Stack
    index: Index
    regions: Regions

    def run(self, *arguments: str) -> Result:
        """Run ``broadside`` with the arguments."""
        return CliRunner().invoke(main, ["--region", REGION, *arguments])

    def put(self, record: BuildRecord, *publications: Publication) -> None:
        """Write a build and its publications, in the states that they have."""
        self.index.record_build(record)
        skipped = PublicationState.SKIPPED
        first = {each.region: skipped if each.state is skipped else PublicationState.PLANNED for each in publications}
        self.index.plan(record.id, first)
        for each in publications:
            self.regions.digests[each.image_id] = record.digest
            if each.state is PublicationState.PUBLIC:
                self.index.open_region(record.id, each.region)
            if each.state is not skipped:
                self.index.advance(
                    record.id,
                    each.region,
                    each.state,
                    reason=each.reason,
                    image_id=each.image_id,
                    snapshot_id=each.snapshot_id,
                    method=each.method,
                    parent=each.parent,
                    blocks_written=each.blocks_written,
                    blocks=each.blocks,
                )

    def put_digests(self, record: BuildRecord, digest_list: bytes) -> None:
        """Leave what a publication leaves of its disk's blocks in the work bucket."""
        s3 = self.session.client("s3")
        s3.create_bucket(Bucket=self.stack.work_bucket)
        DigestLists(aws.Client("s3", REGION, s3), self.stack.work_bucket).put(record.digest, digest_list)

    def executions(self, machine: str) -> list[tuple[str, dict[str, Any]]]:
        """Name and input of what was started."""
        states = self.session.client("stepfunctions")
        listed = states.list_executions(stateMachineArn=machine)["executions"]
        described = (states.describe_execution(executionArn=each["executionArn"]) for each in listed)
        return [(each["name"], json.loads(each["input"])) for each in described]

    def end(self, machine: str) -> None:
        """Stop what runs."""
        states = self.session.client("stepfunctions")
        for each in states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
            states.stop_execution(executionArn=each["executionArn"])


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "BROADSIDE_STACK"):
        monkeypatch.delenv(name, raising=False)
    regions = Regions()
    monkeypatch.setattr(Inspector, "look", lambda _self, wanted: regions.look(wanted))
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        _deploy(session)
        stack = Stack.find("broadside", session)
        yield Deployed(session, stack, open_index(stack, session), regions)


def _deploy(session: boto3.session.Session) -> None:
    """The parts of the real template that the commands touch, with the same outputs."""
    session.client("dynamodb").create_table(
        TableName="index",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )
    create: Callable[..., dict[str, str]] = session.client("stepfunctions").create_state_machine
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}})
    role = "arn:aws:iam::123456789012:role/machine"
    machines = {
        name: create(name=name, definition=definition, roleArn=role)["stateMachineArn"] for name in ("publish", "rollout")
    }
    outputs = {
        "BuildsBucket": "builds",
        "PublicBucket": "public",
        "WorkBucket": "work",
        "IndexTable": "index",
        "PublishStateMachine": machines["publish"],
        "RolloutStateMachine": machines["rollout"],
        "SteerRollout": "arn:aws:lambda:us-east-1:123456789012:function:steer",
        "SigningSecret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:signing",
        "PublicUrl": "http://public.example.com/",
    }
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    session.client("cloudformation").create_stack(StackName="broadside", TemplateBody=json.dumps(template))
