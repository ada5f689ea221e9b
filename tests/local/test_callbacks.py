"""Tasks that wait for their token: it comes back once, in time, and from whoever may send it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from broadside.local.cloud import LocalCloud
from tests.local.lab import refused
from tests.local.test_delegation import FUNCTION, allow, make_machine, make_role
from tests.local.test_stepfunctions import ended

WAITING = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "Parameters": {"FunctionName": FUNCTION, "Payload": {"token.$": "$$.Task.Token"}},
}


def start(bench: LocalCloud, state: dict[str, Any], given: dict[str, Any] | None = None, *, role: str = "") -> str:
    """Start a machine of one state; gives the execution."""
    role = role or make_role(bench, "states.amazonaws.com", allow("lambda:InvokeFunction", FUNCTION))
    machine = make_machine(bench, state, role)
    arn: str = bench.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(given or {}))[
        "executionArn"
    ]
    return arn


def tokens(bench: LocalCloud, execution: str) -> list[str]:
    """The tokens that the function was given, one for each attempt."""
    events = bench.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    outputs = [
        json.loads(event["taskSubmittedEventDetails"]["output"]) for event in events if event["type"] == "TaskSubmitted"
    ]
    return [output["Payload"]["event"]["token"] for output in outputs]


def token(bench: LocalCloud, execution: str, attempt: int = 1) -> str:
    found: str = bench.wait_until(lambda: tokens(bench, execution)[attempt - 1 :], what="the token")[0]
    return found


def test_the_answer_is_the_tasks_output(bench: LocalCloud) -> None:
    """Whenever it comes; until then the execution runs."""
    execution = start(bench, WAITING)
    states, given = bench.client("stepfunctions"), token(bench, execution)
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    states.send_task_success(taskToken=given, output='{"approved": true}')
    end = ended(bench, execution)
    assert (end["status"], json.loads(end["output"])) == ("SUCCEEDED", {"approved": True})


def test_a_failure_has_its_name_and_its_reason(bench: LocalCloud) -> None:
    """A Catch sees both."""
    execution = start(bench, WAITING)
    bench.client("stepfunctions").send_task_failure(taskToken=token(bench, execution), error="Unhealthy", cause="It is red.")
    end = ended(bench, execution)
    assert (end["status"], end["error"], end["cause"]) == ("FAILED", "Unhealthy", "It is red.")


def test_every_attempt_has_a_token_of_its_own(bench: LocalCloud) -> None:
    """The former one is of no more use."""
    retry = {"ErrorEquals": ["Unhealthy"], "IntervalSeconds": 10, "MaxAttempts": 1}
    execution = start(bench, {**WAITING, "Retry": [retry]})
    states, first = bench.client("stepfunctions"), token(bench, execution)
    states.send_task_failure(taskToken=first, error="Unhealthy")
    second = token(bench, execution, 2)
    assert second != first
    with refused("TaskTimedOut"):
        states.send_task_success(taskToken=first, output="{}")
    states.send_task_success(taskToken=second, output="{}")
    assert ended(bench, execution)["status"] == "SUCCEEDED"


def test_a_token_is_taken_once(bench: LocalCloud) -> None:
    """And only one that was given out, with an output that is JSON."""
    execution = start(bench, WAITING)
    states, given = bench.client("stepfunctions"), token(bench, execution)
    with refused("InvalidToken"):
        states.send_task_success(taskToken="made-up", output="{}")
    with refused("InvalidOutput"):
        states.send_task_success(taskToken=given, output="{")
    states.send_task_success(taskToken=given, output="{}")
    ended(bench, execution)
    for send in (
        lambda: states.send_task_success(taskToken=given, output="{}"),
        lambda: states.send_task_failure(taskToken=given, error="Late"),
        lambda: states.send_task_heartbeat(taskToken=given),
    ):
        with refused("TaskTimedOut"):
            send()


def test_the_time_is_up_by_the_clouds_clock(bench: LocalCloud) -> None:
    """Nobody waits a minute and a half for a test; afterwards the token is of no more use."""
    execution = start(bench, {**WAITING, "TimeoutSeconds": 90})
    given = token(bench, execution)
    assert ended(bench, execution)["error"] == "States.Timeout"
    with refused("TaskTimedOut"):
        bench.client("stepfunctions").send_task_success(taskToken=given, output="{}")


def test_heartbeats_keep_a_task_waiting(bench: LocalCloud) -> None:
    """Until they stop."""
    execution = start(bench, {**WAITING, "HeartbeatSeconds": 100})
    states, given = bench.client("stepfunctions"), token(bench, execution)
    for _ in range(10):
        time.sleep(0.25)
        states.send_task_heartbeat(taskToken=given)
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    assert ended(bench, execution)["error"] == "States.Timeout"


def test_a_waiting_task_calls_its_function_with_the_machines_role(bench: LocalCloud) -> None:
    """Without the permission it does not even begin to wait."""
    execution = start(bench, WAITING, role=make_role(bench, "states.amazonaws.com"))
    end = ended(bench, execution)
    assert (end["status"], end["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "is not authorized to perform: lambda:InvokeFunction" in end["cause"]


@pytest.mark.parametrize("service", ["aws-sdk:lambda:updateFunctionCode", "lambda:invoke.sync"])
def test_lambdas_other_integrations_are_refused(bench: LocalCloud, service: str) -> None:
    """They would reach Lambda without being held to the machine's role."""
    state = {**WAITING, "Resource": f"arn:aws:states:::{service}"}
    with pytest.raises(ClientError, match="InvalidDefinition"):
        make_machine(bench, state, make_role(bench, "states.amazonaws.com"))


RETRIED = {**WAITING, "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 10}]}


@pytest.mark.parametrize("state", [WAITING, RETRIED, {"Type": "Wait", "Seconds": 99_999_999}])
def test_a_waiting_execution_can_be_stopped(bench: LocalCloud, state: dict[str, Any]) -> None:
    """It ends as ABORTED with what was said, and its token is of no more use."""
    execution, states = start(bench, state), bench.client("stepfunctions")
    given = token(bench, execution) if state["Type"] == "Task" else ""
    states.stop_execution(executionArn=execution, error="Withdrawn", cause="A release manager said so.")
    end = ended(bench, execution)
    assert (end["status"], end["error"], end["cause"]) == ("ABORTED", "Withdrawn", "A release manager said so.")
    if given:
        bench.wait_until(lambda: refuses(bench, given), what="the end of the task")


def refuses(bench: LocalCloud, given: str) -> bool:
    try:
        bench.client("stepfunctions").send_task_heartbeat(taskToken=given)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "TaskTimedOut")
    return False


@pytest.mark.parametrize("offset", ["Z", "+01:00"])
def test_a_wait_state_ends_at_its_date(bench: LocalCloud, offset: str) -> None:
    """A timestamp is the wall clock's, however fast the cloud's seconds go by: not before it, and soon after."""
    hours = 1 if offset != "Z" else 0
    moment = datetime.now(UTC) + timedelta(seconds=2)
    text = f"{moment + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S.%f}{offset}"
    execution = start(bench, {"Type": "Wait", "TimestampPath": "$.at"}, {"at": text})
    end = ended(bench, execution)
    assert end["status"] == "SUCCEEDED"
    late = (datetime.now(UTC) - moment).total_seconds()
    assert 0 <= late < 2


def test_a_date_that_is_past_is_not_waited_for(bench: LocalCloud) -> None:
    """The execution goes on at once."""
    execution = start(bench, {"Type": "Wait", "TimestampPath": "$.at"}, {"at": "2020-01-01T00:00:00Z"})
    assert ended(bench, execution)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("text", ["2026-11-26 14:00:00", "2026-11-26T14:00:00", "2026-02-30T14:00:00Z", 5])
def test_what_is_no_date_fails(bench: LocalCloud, text: Any) -> None:
    """States.Runtime, which nothing catches."""
    execution = start(bench, {"Type": "Wait", "TimestampPath": "$.at"}, {"at": text})
    assert ended(bench, execution)["error"] == "States.Runtime"
