"""What the stack keeps, and what it does when something is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from cfnlint.api import lint
from samtranslator.translator.transform import transform

from chalicelib.streams.model import ROOT
from chalicelib.streams.publish import VALIDITY
from tests.infra.stack import Stack, mentions

BUCKETS = ("BuildsBucket", "PublicBucket", "WorkBucket")
OUTPUTS = {
    "BuildsBucket",
    "PublicBucket",
    "WorkBucket",
    "IndexTable",
    "PublishStateMachine",
    "RolloutStateMachine",
    "SigningSecret",
    "PublicUrl",
}


def test_cfn_lint_has_nothing_to_say(template: dict[str, Any]) -> None:
    """The template passes every rule as it is packaged."""
    assert not [str(match) for match in lint(json.dumps(template))]


def test_cfn_lint_has_nothing_to_say_of_what_is_deployed(template: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The template passes every rule after the serverless transform, which CloudFormation does on its side."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    packaged = json.loads(json.dumps(template))
    for resource in packaged["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][key] = {"Bucket": "artifacts", "Key": "key"}
    plain = transform(packaged, {}, _NoManagedPolicies())
    assert not [str(match) for match in lint(json.dumps(plain))]


class _NoManagedPolicies:
    """The transform asks for AWS's managed policies, of which the template uses none."""

    def load(self) -> dict[str, str]:
        return {}


def test_buckets_are_versioned_and_encrypted(stack: Stack) -> None:
    """Every bucket keeps versions, encrypts, and has no access lists."""
    buckets = stack.of_type("AWS::S3::Bucket")
    assert set(buckets) == set(BUCKETS)
    for bucket in buckets.values():
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets_refuse_plain_http(stack: Stack, bucket: str) -> None:
    """Every bucket's policy denies everything, to everybody, that does not come over TLS."""
    denied = [item for item in _bucket_policy(stack, bucket) if item["Effect"] == "Deny"]
    assert [(item["Principal"], item["Action"], item["Condition"]) for item in denied] == [
        ("*", "s3:*", {"Bool": {"aws:SecureTransport": "false"}})
    ]
    assert denied[0]["Resource"] == [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]


@pytest.mark.parametrize("bucket", ["BuildsBucket", "WorkBucket"])
def test_private_buckets_are_closed_to_the_public(stack: Stack, bucket: str) -> None:
    """Neither an access list nor a policy can open the builds and work buckets."""
    assert all(stack.of_type("AWS::S3::Bucket")[bucket]["PublicAccessBlockConfiguration"].values())
    assert not [item for item in _bucket_policy(stack, bucket) if item["Effect"] == "Allow"]


def test_everybody_reads_the_public_bucket_and_sees_what_is_missing(stack: Stack) -> None:
    """Reading and listing (without it a missing file answers 403, which stops some readers) and nothing else."""
    allowed = {tuple(item["Action"]) for item in _bucket_policy(stack, "PublicBucket") if item["Effect"] == "Allow"}
    assert allowed == {("s3:GetObject",), ("s3:ListBucket",)}


def _bucket_policy(stack: Stack, bucket: str) -> list[dict[str, Any]]:
    policies = [body for body in stack.of_type("AWS::S3::BucketPolicy").values() if body["Bucket"] == {"Ref": bucket}]
    assert len(policies) == 1
    statements: list[dict[str, Any]] = policies[0]["PolicyDocument"]["Statement"]
    return statements


def test_what_holds_data_outlives_the_stack(stack: Stack) -> None:
    """Removing the stack, or a change that replaces a resource, deletes no bucket, index or signing key."""
    for name in (*BUCKETS, "IndexTable", "SigningSecret"):
        resource = stack.template["Resources"][name]
        assert resource["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate"), name
        assert resource["UpdateReplacePolicy"] == "Retain", name


def test_the_index_can_be_restored(stack: Stack) -> None:
    """The table has point-in-time recovery and deletion protection, and a stream with both images."""
    table = stack.of_type("AWS::DynamoDB::Table")["IndexTable"]
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_every_queue_has_an_alarm(stack: Stack) -> None:
    """A message in a dead-letter queue tells somebody."""
    watched = {
        name for alarm in stack.of_type("AWS::CloudWatch::Alarm").values() for name in mentions(alarm.get("Dimensions", []))
    }
    assert set(stack.of_type("AWS::SQS::Queue")) <= watched
    assert {"PublishStateMachine", "RolloutStateMachine", "PublishStreams"} <= watched


def test_every_alarm_reaches_the_topic(stack: Stack) -> None:
    """No alarm goes off unheard."""
    assert all(alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}] for alarm in stack.of_type("AWS::CloudWatch::Alarm").values())


def test_what_comes_by_itself_cannot_get_lost(stack: Stack) -> None:
    """Events, schedules and changes of the index that fail for good end in a queue that the function may write to."""
    for function in ("Ingest", "Sweep"):
        destination = stack.functions[function]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]
        _assert_may_send(stack, function, destination)
    source = stack.functions["PublishStreams"]["Events"]["PublishStreamsDynamodbEventSource"]["Properties"]
    _assert_may_send(stack, "PublishStreams", source["DestinationConfig"]["OnFailure"]["Destination"])
    upload = stack.functions["Ingest"]["Events"]["IngestEvent"]["Properties"]
    assert upload["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["LostEvents", "Arn"]}}


def _assert_may_send(stack: Stack, function: str, queue: dict[str, Any]) -> None:
    sends = [item["Resource"] for item in stack.statements(stack.role_of(function)) if "sqs:SendMessage" in item["Action"]]
    assert sends == [queue]


def test_ingest_hears_of_uploads_only(stack: Stack) -> None:
    """Objects of the builds bucket, but not the status files that ingest itself writes there."""
    pattern = stack.functions["Ingest"]["Events"]["IngestEvent"]["Properties"]["Pattern"]
    assert pattern == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": "BuildsBucket"}]},
            "object": {"key": [{"anything-but": {"suffix": "build.status.json"}}]},
        },
    }
    bucket = stack.of_type("AWS::S3::Bucket")["BuildsBucket"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_publishing_does_not_wake_itself(stack: Stack) -> None:
    """The counter that publishing writes is filtered out of the changes that start it; one bad record stops no others."""
    source = stack.functions["PublishStreams"]["Events"]["PublishStreamsDynamodbEventSource"]["Properties"]
    (entry,) = source["FilterCriteria"]["Filters"]
    assert json.loads(entry["Pattern"])["dynamodb"]["Keys"]["sk"] == {"S": [{"anything-but": ["#generation"]}]}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BisectBatchOnFunctionError"] is True
    assert 0 < source["MaximumRecordAgeInSeconds"] < 86400  # the bound: an outage may take many attempts
    assert source["Stream"] == {"Fn::GetAtt": ["IndexTable", "StreamArn"]}


def test_gpg_is_where_it_is_needed(stack: Stack) -> None:
    """The layer with gpg is with the functions that verify or sign, and with no other."""
    having = {name for name, body in stack.functions.items() if {"Ref": "GpgLayer"} in body.get("Layers", [])}
    assert having == {"Ingest", "Sweep", "PublishStreams"}


def test_logs_end(stack: Stack) -> None:
    """Every log group has a retention."""
    assert all(group["RetentionInDays"] <= 90 for group in stack.of_type("AWS::Logs::LogGroup").values())


def test_everything_is_traced(stack: Stack) -> None:
    """Functions and state machines send traces to X-Ray."""
    assert {body["Tracing"] for body in stack.functions.values()} == {"Active"}
    assert all(body["TracingConfiguration"]["Enabled"] for body in stack.of_type("AWS::StepFunctions::StateMachine").values())


def test_programs_find_the_stack_by_its_outputs(template: dict[str, Any]) -> None:
    """What people's programs ask the stack for is there."""
    assert set(template["Outputs"]) >= OUTPUTS


def test_products_files_outlive_every_index_that_names_them(stack: Stack) -> None:
    """And not much more: each publication writes new ones."""
    rules = stack.template["Resources"]["PublicBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    (rule,) = [rule for rule in rules if rule.get("Prefix") == f"{ROOT}/by-hash/"]
    assert timedelta(days=rule["ExpirationInDays"]) > 2 * VALIDITY
