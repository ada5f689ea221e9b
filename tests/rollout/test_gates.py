"""Promises about gates: what cannot be asked, or does not answer as a gate does, does not open."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import Gate, Kind, Rollout, Wave
from chalicelib.rollout.gates import Gates
from tests.index.values import BUILD


@dataclass
class Watch:
    """CloudWatch with one alarm, or none."""

    alarms: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def describe_alarms(self, **call: Any) -> dict[str, Any]:
        self.asked.append(call)
        return self.alarms


@dataclass
class Function:
    """Lambda with one function."""

    answer: bytes = b""
    error: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.asked.append(call)
        if self.error is not None:
            raise self.error
        return {"Payload": io.BytesIO(self.answer)}


def ask(gate: Gate, watch: Watch | None = None, function: Function | None = None) -> tuple[bool, str]:
    waves = (Wave("canary", ("eu-west-1",)), Wave("half", ("ap-south-1", "us-east-1"), gate=gate))
    rollout = Rollout("24.04.1", Kind.RELEASE, (BUILD,), waves, "arn:one", "t", "t", wave=1)
    return Gates(watch or Watch(), function or Function()).ask(rollout)  # type: ignore[arg-type]  # stand-ins with the calls that are made


@pytest.mark.parametrize("kind", ["none", "approval"])
def test_what_asks_nobody_is_open(kind: str) -> None:
    """No call is made; approval is a person's."""
    watch, function = Watch(), Function()
    assert ask(Gate(kind), watch, function) == (True, "")
    assert (watch.asked, function.asked) == ([], [])


@pytest.mark.parametrize("sort", ["MetricAlarms", "CompositeAlarms"])
@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_an_alarm_that_is_not_raised_opens_the_gate(sort: str, state: str) -> None:
    """Also one without data, as most have none while nothing happens; metric or composite."""
    watch = Watch({sort: [{"StateValue": state}]})
    assert ask(Gate("alarm", "web-errors"), watch) == (True, "")
    assert watch.asked == [{"AlarmNames": ["web-errors"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}]


@pytest.mark.parametrize("sort", ["MetricAlarms", "CompositeAlarms"])
def test_an_alarm_that_is_raised_closes_the_gate(sort: str) -> None:
    """With the alarm's own reason, if it has one."""
    raised = {"StateValue": "ALARM", "StateReason": "5 errors"}
    assert ask(Gate("alarm", "web-errors"), Watch({sort: [raised]})) == (False, "the alarm web-errors is raised: 5 errors")
    healthy, why = ask(Gate("alarm", "web-errors"), Watch({sort: [{"StateValue": "ALARM"}]}))
    assert (healthy, "web-errors" in why) == (False, True)


def test_an_alarm_that_is_not_there_closes_the_gate() -> None:
    """It may have been deleted, or misspelt: nobody watches."""
    assert ask(Gate("alarm", "web-errors")) == (False, "there is no alarm web-errors.")


def test_a_function_is_told_what_went_out() -> None:
    """The release, its builds, and the wave with its Regions."""
    function = Function(b'{"healthy": true}')
    assert ask(Gate("function", "arn"), function=function)[0] is True
    (call,) = function.asked
    assert call["FunctionName"] == "arn"
    assert json.loads(call["Payload"]) == {
        "rollout": "24.04.1",
        "builds": [str(BUILD)],
        "wave": "half",
        "regions": ["ap-south-1", "us-east-1"],
    }


def test_a_function_closes_the_gate_with_its_reason() -> None:
    """Its words are told on."""
    assert ask(Gate("function", "arn"), function=Function(b'{"healthy": false, "reason": "slow"}')) == (False, "slow")


@pytest.mark.parametrize("answer", ['{"healthy": "yes"}', '{"healthy": 1}', '{"healthy": null}'])
def test_only_true_is_healthy(answer: str) -> None:
    """Not what looks like it."""
    assert ask(Gate("function", "arn"), function=Function(answer.encode()))[0] is False


@pytest.mark.parametrize(
    "answer",
    ["", "null", "true", "[]", "{}", "not JSON", '{"errorType": "KeyError", "errorMessage": "x"}', '"' + "x" * 900 + '"'],
)
def test_a_function_that_does_not_answer_as_a_gate_closes_it(answer: str) -> None:
    """One that has crashed is not healthy; the sentence stays short."""
    healthy, why = ask(Gate("function", "arn"), function=Function(answer.encode()))
    assert healthy is False
    assert why.startswith("the function arn did not answer as a gate does")
    assert len(why) < 300


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_a_function_that_cannot_be_asked_closes_the_gate(code: str) -> None:
    """It is not there, or not ours to call: waiting would not help."""
    assert ask(Gate("function", "arn"), function=Function(error=CloudRefused("gone", code=code))) == (False, "gone")


def test_a_gate_that_is_out_of_reach_is_asked_again() -> None:
    """A throttled call says nothing about the release."""
    with pytest.raises(CloudBusy):
        ask(Gate("function", "arn"), function=Function(error=CloudBusy("later", code="TooManyRequestsException")))
