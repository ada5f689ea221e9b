"""Permissions, policies and thresholds are judged as AWS documents it, where that is easily got wrong."""

from __future__ import annotations

import io
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
