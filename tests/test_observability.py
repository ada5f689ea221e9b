"""Promises of what the functions tell CloudWatch."""

from __future__ import annotations

import json

import pytest

from broadside.packaging import build_template
from chalicelib.observability import count


def test_a_failed_region_is_counted_where_the_alarm_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """In the embedded metric format, under the name, the namespace and the (no) dimensions of the template's alarm."""
    count("RegionFailed")
    told = json.loads(capsys.readouterr().out)
    alarm = build_template()["Resources"]["RegionFailedAlarm"]["Properties"]
    [metric] = told["_aws"]["CloudWatchMetrics"]
    assert metric["Namespace"] == alarm["Namespace"]
    assert [each["Name"] for each in metric["Metrics"]] == [alarm["MetricName"]]
    assert metric["Dimensions"] == [[]]
    assert "Dimensions" not in alarm
    assert told[alarm["MetricName"]] == [1.0]
