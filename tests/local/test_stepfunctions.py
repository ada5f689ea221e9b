"""State machines really run: waiting, retrying, mapping, failing, and never twice under one name."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from broadside.local.cloud import LocalCloud

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:broadside-"
ROLE = "arn:aws:iam::123456789012:role/broadside-MachineRole"


def run(bench: LocalCloud, definition: dict[str, Any] | str, given: dict[str, Any]) -> dict[str, Any]:
    """Execute a definition once and wait for its end."""
    states = bench.client("stepfunctions")
    text = definition if isinstance(definition, str) else json.dumps(definition)
    machine = states.create_state_machine(name=f"m{uuid.uuid4().hex[:8]}", definition=text, roleArn=ROLE)["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine, name="once", input=json.dumps(given))["executionArn"]
    return ended(bench, execution)


def ended(bench: LocalCloud, execution: str) -> dict[str, Any]:
    states = bench.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    found: dict[str, Any] = bench.wait_until(look, what="the execution's end")
    return found


def test_the_stacks_machine_waits_and_retries_by_the_clouds_clock(bench: LocalCloud) -> None:
    """Half a minute of waiting and two retries end sooner than anybody here would wait for them in AWS's time."""
    states = bench.client("stepfunctions")
    machine = bench.ready["state_machines"]["Machine"]
    given = json.dumps({"key": "machine", "until": 3})
    execution = states.start_execution(stateMachineArn=machine, name="clock", input=given)["executionArn"]
    assert json.loads(ended(bench, execution)["output"]) == {"seen": 3}
    mine = [item for item in bench.executions() if item["executionArn"] == execution]
    assert [item["states"] for item in mine] == [["Wait", "Flaky"]]


def test_a_name_is_used_once(bench: LocalCloud) -> None:
    """The same name and input is the same execution while it runs; a closed name, or another input, is refused."""
    states = bench.client("stepfunctions")
    waiting = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 99_999_999, "End": True}}}
    machine = states.create_state_machine(name="waiting", definition=json.dumps(waiting), roleArn=ROLE)["stateMachineArn"]
    first = states.start_execution(stateMachineArn=machine, name="name", input="{}")["executionArn"]
    assert states.start_execution(stateMachineArn=machine, name="name", input="{}")["executionArn"] == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name="name", input='{"other": 1}')
    states.stop_execution(executionArn=first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name="name", input="{}")


def test_an_error_is_caught_by_its_class_name_and_told_by_fail(bench: LocalCloud) -> None:
    """What a handler raises is what Catch sees, and Fail hands error and cause on."""
    definition = {
        "StartAt": "Try",
        "States": {
            "Try": {
                "Type": "Task",
                "Resource": f"{FUNCTION}Fail",
                "Retry": [{"ErrorEquals": ["Other"], "MaxAttempts": 0}],
                "Catch": [{"ErrorEquals": ["NotYet"], "ResultPath": "$.error", "Next": "Give up"}],
                "End": True,
            },
            "Give up": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
        },
    }
    end = run(bench, definition, {"message": "no luck"})
    assert (end["status"], end["error"]) == ("FAILED", "NotYet")
    assert json.loads(end["cause"])["errorMessage"] == "no luck"


@pytest.mark.parametrize(("tolerated", "status"), [(100, "SUCCEEDED"), (50.0, "SUCCEEDED"), (49, "FAILED"), (None, "FAILED")])
def test_a_distributed_map_tolerates_what_it_says(bench: LocalCloud, tolerated: float | None, status: str) -> None:
    """Half of its items fail; more than is tolerated fails the whole."""
    state: dict[str, Any] = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 2,
        "ItemSelector": {"good.$": "$$.Map.Item.Value"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Good?",
            "States": {
                "Good?": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.good", "BooleanEquals": True, "Next": "Well"}],
                    "Default": "Badly",
                },
                "Well": {"Type": "Succeed"},
                "Badly": {"Type": "Fail", "Error": "Bad", "Cause": "It is bad."},
            },
        },
        "ResultPath": None,
        "End": True,
    }
    if tolerated is not None:
        state["ToleratedFailurePercentage"] = tolerated
    end = run(bench, {"StartAt": "All", "States": {"All": state}}, {"items": [True, False, True, False]})
    assert end["status"] == status
    assert end.get("error", "") == ("" if status == "SUCCEEDED" else "States.ExceedToleratedFailureThreshold")


def test_the_publish_machine_parses_and_runs_on_trivial_functions(bench: LocalCloud) -> None:
    """The project's own definition, with functions that only echo: what is missing in their answers is an error it records."""
    source = json.dumps(yaml.safe_load((Path(__file__).parents[2] / "infra" / "publish.asl.yaml").read_text()))
    definition = re.sub(r"\$\{\w+\}", f"{FUNCTION}Echo", source)
    end = run(bench, definition, {"build": "b", "digest": "d", "files": ["disk.img"]})
    assert end["status"] == "FAILED"
    assert "$.plan.regions" in end["cause"]
    assert bench.executions()[-1]["states"][:4] == ["Verify files", "Verify file", "Read disk", "Plan Regions"]
