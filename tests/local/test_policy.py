"""Permissions, policies and thresholds are judged as AWS documents it, where that is easily got wrong."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from broadside.local.access.needs import needs
from broadside.local.access.policy import Decision, Request, evaluate
from broadside.local.calls import Call
from broadside.local.states import intolerable


@pytest.mark.parametrize(
    ("operator", "decision"),
    [
        ("StringNotEquals", Decision.DENY),
        ("StringNotLike", Decision.DENY),
        ("ForAllValues:StringEquals", Decision.DENY),
        ("StringEquals", Decision.NONE),
        ("ForAnyValue:StringLike", Decision.NONE),
    ],
)
def test_a_key_that_is_not_there_differs_from_every_value(operator: str, decision: Decision) -> None:
    """ "Deny unless it is encrypted with our key" denies, too, what is not said to be encrypted at all."""
    condition = {operator: {"s3:x-amz-server-side-encryption": "aws:kms"}}
    statement: dict[str, Any] = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
    assert evaluate([{"Statement": statement}], Request("s3:PutObject", "arn:aws:s3:::b/k")) is decision


def test_every_kind_of_resource_that_a_call_creates_or_reads_needs_a_permission() -> None:
    """Who may tag images only, may not have CopyImage tag snapshots; and an AMI is registered from a snapshot one may use."""
    image, snapshot = "arn:aws:ec2:us-east-1::image/image", "arn:aws:ec2:us-east-1::snapshot/snapshot"
    tags = {}
    for number, kind in enumerate(("image", "snapshot"), 1):
        prefix = f"TagSpecification.{number}."
        tags |= {f"{prefix}ResourceType": kind, f"{prefix}Tag.1.Key": "a", f"{prefix}Tag.1.Value": kind}
    wanted = ec2("CopyImage", tags)
    assert {(need.action, need.resource) for need in wanted} == {
        (f"ec2:{action}", resource) for action in ("CopyImage", "CreateTags") for resource in (image, snapshot)
    }
    assert {need.context["aws:RequestTag/a"] for need in wanted if need.resource == snapshot} == {("snapshot",)}
    assert [need.resource for need in ec2("RegisterImage", {})] == [image, snapshot]


def ec2(action: str, form: dict[str, str]) -> list[Request]:
    """What a call to EC2 needs."""
    body = urlencode(form).encode()
    environ = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    return needs(Call("ec2", action, "us-east-1", "key"), environ, "123456789012")


@pytest.mark.parametrize(
    ("failed", "count", "percentage", "over"),
    [
        (0, 0, 0.0, False),
        (1, 0, 0.0, True),
        (2, 2, 0.0, False),
        (3, 2, 0.0, True),
        (5, 0, 50.0, False),
        (6, 0, 50.0, True),
        (10, 0, 100.0, False),
        (3, 2, 100.0, True),
        (6, 8, 50.0, True),
    ],
)
def test_either_threshold_of_a_map_is_enough(failed: int, count: int, percentage: float, over: bool) -> None:
    """Ten items: a generous percentage does not excuse more failures than the count tolerates, nor the other way round."""
    counter = SimpleNamespace(total=SimpleNamespace(get=lambda: 10))
    record = SimpleNamespace(item_counter=counter, tolerated_failure_count=count, tolerated_failure_percentage=percentage)
    assert intolerable(failed, record) is over


def asked(service: str, action: str, content: dict[str, Any]) -> set[tuple[str, str]]:
    """What a JSON request needs: actions with their resources."""
    body = json.dumps(content).encode()
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    call = Call(service, action, "us-east-1", "key")
    return {(need.action, need.resource) for need in needs(call, environ, "123456789012")}


PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/a/b"


@pytest.mark.parametrize(
    ("action", "content", "wanted"),
    [
        ("PutParameter", {"Name": "/a/b"}, {("ssm:PutParameter", PARAMETER)}),
        (
            "PutParameter",
            {"Name": "/a/b", "Tags": [{"Key": "k", "Value": "v"}]},
            {("ssm:PutParameter", PARAMETER), ("ssm:AddTagsToResource", PARAMETER)},
        ),
        (
            "GetParameters",
            {"Names": ["/a/b", "c"]},
            {("ssm:GetParameters", PARAMETER), ("ssm:GetParameters", f"{PARAMETER[:-3]}c")},
        ),
        ("GetParametersByPath", {"Path": "/a/b"}, {("ssm:GetParametersByPath", PARAMETER)}),
        ("AddTagsToResource", {"ResourceType": "Parameter", "ResourceId": "/a/b"}, {("ssm:AddTagsToResource", PARAMETER)}),
        ("DescribeParameters", {}, {("ssm:DescribeParameters", "*")}),
    ],
)
def test_a_parameter_is_a_resource_of_its_own(action: str, content: dict[str, Any], wanted: set[tuple[str, str]]) -> None:
    """Each that a call names, under its ARN without a doubled slash."""
    assert asked("ssm", action, content) == wanted


def test_references_are_looked_for_with_the_callers_permissions() -> None:
    """For each type of resource that is asked for."""
    only = {need.action for need in ec2("DescribeImageReferences", {"ResourceType.1.ResourceType": "ssm:Parameter"})}
    assert only == {"ec2:DescribeImageReferences", "ssm:DescribeParameters", "ssm:GetParameters"}
    everything = {need.action for need in ec2("DescribeImageReferences", {"IncludeAllResourceTypes": "true"})}
    assert everything > only | {"ec2:DescribeInstances", "imagebuilder:ListImageRecipes"}


def test_a_quota_is_a_resource_for_whom_wants_more() -> None:
    """Looking at it is not about a resource."""
    quota = {"ServiceCode": "ec2", "QuotaCode": "L-0E3CBAB9"}
    assert asked("servicequotas", "GetServiceQuota", quota) == {("servicequotas:GetServiceQuota", "*")}
    arn = "arn:aws:servicequotas:us-east-1:123456789012:ec2/L-0E3CBAB9"
    wanted = {("servicequotas:RequestServiceQuotaIncrease", arn)}
    assert asked("servicequotas", "RequestServiceQuotaIncrease", quota) == wanted


def test_alarms_are_resources_and_metrics_are_none() -> None:
    """As CloudWatch has it."""
    alarms = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:*"
    assert asked("cloudwatch", "DescribeAlarms", {}) == {("cloudwatch:DescribeAlarms", alarms)}
    assert asked("cloudwatch", "PutMetricData", {}) == {("cloudwatch:PutMetricData", "*")}


def test_whoever_gives_a_schedule_a_role_passes_it_on() -> None:
    """iam:PassRole, beside the schedule's own permission."""
    role = "arn:aws:iam::123456789012:role/r"
    body = json.dumps({"GroupName": "g", "Target": {"RoleArn": role}}).encode()
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "PATH_INFO": "/schedules/n"}
    wanted = needs(Call("scheduler", "CreateSchedule", "us-east-1", "key"), environ, "123456789012")
    schedule = "arn:aws:scheduler:us-east-1:123456789012:schedule/g/n"
    assert [(need.action, need.resource) for need in wanted] == [
        ("scheduler:CreateSchedule", schedule),
        ("iam:PassRole", role),
    ]
    assert wanted[1].context == {"iam:PassedToService": ("scheduler.amazonaws.com",)}


@pytest.mark.parametrize("kind", ["schedules", "schedule-groups"])
def test_a_schedule_is_its_groups(kind: str) -> None:
    """Which the query names, or it is the default one."""
    environ = {"wsgi.input": io.BytesIO(), "PATH_INFO": f"/{kind}/n", "QUERY_STRING": "groupName=g"}
    (wanted,) = needs(Call("scheduler", "GetSchedule", "us-east-1", "key"), environ, "123456789012")
    resource = {"schedules": "schedule/g/n", "schedule-groups": "schedule-group/n"}[kind]
    assert wanted.resource == f"arn:aws:scheduler:us-east-1:123456789012:{resource}"
