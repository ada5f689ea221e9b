"""Who may do what, read from the roles that are deployed."""

from __future__ import annotations

import json

import pytest

from broadside.packaging import CHECKOUT
from tests.infra.stack import Stack, mentions

#: What AWS lets nobody narrow to a resource.
WITHOUT_RESOURCES = {
    "dynamodb:ListStreams",
    "ec2:DescribeImages",
    "ec2:DescribeRegions",
    "ec2:DescribeSnapshotAttribute",
    "ec2:DescribeSnapshots",
    "ec2:GetImageBlockPublicAccessState",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "states:SendTaskSuccess",
    "xray:PutTraceSegments",
}

#: What changes or removes something that is already there.
TOUCHES = {
    "ebs:CompleteSnapshot",
    "ebs:PutSnapshotBlock",
    "ec2:DeleteSnapshot",
    "ec2:DeregisterImage",
    "ec2:EnableImageDeprecation",
    "ec2:EnableImageDeregistrationProtection",
    "ec2:ModifyImageAttribute",
    "ec2:ModifySnapshotAttribute",
}

#: The environment variables and the resources they stand for.
ENVIRONMENT = {
    "BUILDS_BUCKET": "BuildsBucket",
    "PUBLIC_BUCKET": "PublicBucket",
    "WORK_BUCKET": "WorkBucket",
    "INDEX_TABLE": "IndexTable",
    "PUBLISH_STATE_MACHINE": "PublishStateMachine",
    "SIGNING_SECRET": "SigningSecret",
}


def test_every_function_has_a_role_of_its_own(stack: Stack) -> None:
    """No two functions share a role."""
    roles = [stack.role_of(function) for function in stack.functions]
    assert len(roles) == len(set(roles)) == 24


def test_only_the_signing_function_reads_the_signing_key(stack: Stack) -> None:
    """Nobody but publish_streams may ask Secrets Manager for anything, and it only for the one secret."""
    readers = [
        (role, item) for role, item in stack.all_statements() if any(a.startswith("secretsmanager:") for a in item["Action"])
    ]
    assert [role for role, _ in readers] == ["PublishStreamsRole"]
    assert readers[0][1]["Action"] == ["secretsmanager:GetSecretValue"]
    assert readers[0][1]["Resource"] == {"Ref": "SigningSecret"}


def test_who_signs_cannot_call_ec2(stack: Stack) -> None:
    """The signing function may call neither EC2 nor EBS, nor start an execution."""
    assert not {action for action in stack.actions("PublishStreams") if action.partition(":")[0] in ("ec2", "ebs", "states")}


@pytest.mark.parametrize("function", ["Ingest", "Sweep", "VerifyFile", "ReadDisk"])
def test_who_reads_uploads_cannot_call_ec2(stack: Stack, function: str) -> None:
    """What handles a builder's bytes before they are trusted may call neither EC2 nor EBS."""
    assert not {action for action in stack.actions(function) if action.partition(":")[0] in ("ec2", "ebs")}


def test_builds_are_never_overwritten(stack: Stack) -> None:
    """In the builds bucket the publisher writes status files and nothing else."""
    for role, statement in stack.all_statements():
        if "s3:PutObject" in statement["Action"] and "BuildsBucket" in mentions(statement["Resource"]):
            assert statement["Resource"] == {"Fn::Sub": "${BuildsBucket.Arn}/*build.status.json"}, role


def test_nothing_is_deleted_from_a_bucket(stack: Stack) -> None:
    """No role may delete an object; only who takes uploads in may clear a refused build out of the index."""
    objects = {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert not [role for role, statement in stack.all_statements() if objects & set(statement["Action"])]
    deleters = {role for role, statement in stack.all_statements() if "dynamodb:DeleteItem" in statement["Action"]}
    assert deleters == {"IngestRole", "SweepRole"}


def test_no_action_is_a_wildcard(stack: Stack) -> None:
    """Every action is named in full."""
    assert not [(role, a) for role, statement in stack.all_statements() for a in statement["Action"] if "*" in a]


def test_every_resource_is_narrow_where_aws_allows_it(stack: Stack) -> None:
    """``*`` stands only for actions that know no resources."""
    wide = {a for _, statement in stack.all_statements() if statement["Resource"] == "*" for a in statement["Action"]}
    assert wide <= WITHOUT_RESOURCES


def test_only_what_carries_our_tag_is_changed(stack: Stack) -> None:
    """Images and snapshots that Broadside did not make cannot be written, shared or removed by it."""
    for role, statement in stack.all_statements():
        if TOUCHES & set(statement["Action"]):
            assert statement["Condition"] == {"Null": {"aws:ResourceTag/broadside:build": "false"}}, role


def test_nothing_of_ec2_is_made_without_our_tag(stack: Stack) -> None:
    """A snapshot cannot be started, and an image not registered, without naming its build."""
    for role, statement in stack.all_statements():
        starts = "ebs:StartSnapshot" in statement["Action"]
        registers = "ec2:RegisterImage" in statement["Action"] and "image/" in json.dumps(statement["Resource"])
        if starts or registers:
            assert statement["Condition"] == {"Null": {"aws:RequestTag/broadside:build": "false"}}, role


def test_functions_write_only_their_own_log(stack: Stack) -> None:
    """A function's role reaches the log group that the function is set to, and no other."""
    for function, properties in stack.functions.items():
        group = properties["LoggingConfig"]["LogGroup"]["Ref"]
        writes = [item for item in stack.statements(stack.role_of(function)) if "logs:PutLogEvents" in item["Action"]]
        assert [item["Resource"] for item in writes] == [{"Fn::GetAtt": [group, "Arn"]}]
        assert group == f"{function}Logs"


def test_functions_know_only_what_they_may_touch(stack: Stack) -> None:
    """Each environment names exactly the stack's resources that the function's role reaches."""
    for function, properties in stack.functions.items():
        variables = properties["Environment"]["Variables"]
        assert variables == {name: {"Ref": ENVIRONMENT[name]} for name in variables}, function
        reached = mentions(stack.statements(stack.role_of(function))) & set(ENVIRONMENT.values())
        assert {ENVIRONMENT[name] for name in variables} == reached, function


def test_no_secret_is_in_the_template(stack: Stack) -> None:
    """The secret is made without a value, and nothing in the template looks like a key or a passphrase."""
    secret = stack.of_type("AWS::SecretsManager::Secret")
    assert set(secret) == {"SigningSecret"}
    assert not {"SecretString", "GenerateSecretString"} & set(secret["SigningSecret"])
    text = json.dumps({name: body for name, body in stack.template.items() if name != "Description"})
    assert "BEGIN PGP" not in text
    assert "resolve:secretsmanager" not in text
    assert [name for name, body in stack.functions.items() if "SIGNING_SECRET" in body["Environment"]["Variables"]] == [
        "PublishStreams"
    ]


def test_every_policy_file_is_some_functions(stack: Stack) -> None:
    """Nothing is left over in ``.chalice`` that would look like a permission in force."""
    config = json.loads((CHECKOUT / ".chalice" / "config.json").read_text())
    used = {body["iam_policy_file"] for body in config["stages"]["prod"]["lambda_functions"].values()}
    assert used == {path.name for path in (CHECKOUT / ".chalice").glob("policy-*.json")}
    assert len(used) == len(stack.functions)
