"""Alarms say what they were told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from broadside.local import alarms
from broadside.local.cloud import LocalCloud
from broadside.local.world import ACCOUNT_ID
from tests.local.lab import HOME, client, refused


@pytest.fixture
def cloudwatch() -> Iterator[Any]:
    with mock_aws():
        alarms.install()
        yield client("cloudwatch", HOME, ACCOUNT_ID)


def put(cloudwatch: Any, name: str, **other: Any) -> None:
    asked = {"MetricName": "Errors", "Namespace": "Health", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0}
    compared = {"ComparisonOperator": "GreaterThanThreshold", "Statistic": "Sum"}
    cloudwatch.put_metric_alarm(AlarmName=name, **asked | compared | other)


def states(cloudwatch: Any, **asked: Any) -> dict[str, str]:
    return {it["AlarmName"]: it["StateValue"] for it in cloudwatch.describe_alarms(**asked)["MetricAlarms"]}


@pytest.mark.parametrize(
    ("missing", "state"),
    [({}, "INSUFFICIENT_DATA"), ({"TreatMissingData": "notBreaching"}, "OK"), ({"TreatMissingData": "breaching"}, "ALARM")],
)
def test_an_alarm_begins_without_data(cloudwatch: Any, missing: dict[str, str], state: str) -> None:
    """It is OK only if it treats missing data as such."""
    put(cloudwatch, "health", **missing)
    assert states(cloudwatch) == {"health": state}


def test_a_state_is_set_and_stays(cloudwatch: Any) -> None:
    """Also when the alarm is put again; one that is not there is refused."""
    put(cloudwatch, "health")
    cloudwatch.set_alarm_state(AlarmName="health", StateValue="ALARM", StateReason="a test")
    put(cloudwatch, "health", Threshold=2.0)
    assert states(cloudwatch, AlarmNames=["health"]) == {"health": "ALARM"}
    with refused("ResourceNotFound"):
        cloudwatch.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="a test")
    with refused("ValidationError"):
        cloudwatch.set_alarm_state(AlarmName="health", StateValue="FINE", StateReason="a test")


def test_all_criteria_narrow_the_list(cloudwatch: Any) -> None:
    """Names and states together; an unknown name is simply not there."""
    for name in ("canary-a", "canary-b", "other"):
        put(cloudwatch, name)
    cloudwatch.set_alarm_state(AlarmName="canary-a", StateValue="ALARM", StateReason="a test")
    assert states(cloudwatch, AlarmNamePrefix="canary-", StateValue="ALARM") == {"canary-a": "ALARM"}
    assert states(cloudwatch, AlarmNames=["canary-b", "none"], StateValue="ALARM") == {}
    assert set(states(cloudwatch, AlarmNames=["canary-b", "none"])) == {"canary-b"}


def test_metrics_are_kept(cloudwatch: Any) -> None:
    """Whoever puts them finds them."""
    cloudwatch.put_metric_data(Namespace="Broadside", MetricData=[{"MetricName": "Public", "Value": 3.0, "Unit": "Count"}])
    found = cloudwatch.list_metrics(Namespace="Broadside")["Metrics"]
    assert [it["MetricName"] for it in found] == ["Public"]


def test_the_stacks_alarms_are_there(cloud: LocalCloud) -> None:
    """With what the template says of them."""
    found = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix="broadside-")["MetricAlarms"]
    lost = {it["AlarmName"]: it for it in found}["broadside-LostEventsAlarm"]
    assert (lost["StateValue"], lost["Threshold"], lost["Namespace"]) == ("OK", 0, "AWS/SQS")
