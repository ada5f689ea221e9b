"""The state machines as they are deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.infra.stack import Stack

MACHINES = ("PublishStateMachine", "RolloutStateMachine")

#: Steps that nothing catches: there is nobody left to tell, or nothing has been touched.  Their failure fails the execution,
#: for which there is an alarm.
LAST_WORDS = {"RecordFailure", "Conclude", "BeginRollout", "ProceedRollout"}
#: What a shard does not bring about, each Region brings about for itself, and says why if it cannot.
MADE_UP_FOR = {"WriteShard"}


@dataclass(frozen=True)
class State:
    """One state; ``scope`` is the states it may go to, ``caught`` whether it or what is around it catches errors."""

    name: str
    body: dict[str, Any]
    scope: dict[str, Any]
    caught: bool


def states(machine: dict[str, Any], caught: bool = False) -> Iterator[State]:
    """All states of a machine, those inside of Map and Parallel states included."""
    for name, body in machine["States"].items():
        within = caught or any("States.ALL" in rule["ErrorEquals"] for rule in body.get("Catch", []))
        yield State(name, body, machine["States"], within)
        for inner in [*([body["ItemProcessor"]] if "ItemProcessor" in body else []), *body.get("Branches", [])]:
            # A distributed Map that tolerates every failure does not fail with its children: they look after themselves.
            tolerant = body.get("ToleratedFailurePercentage") == 100
            yield from states(inner, within and not tolerant)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, stack: Stack) -> dict[str, Any]:
    """One of the machines, with its substitutions under ``functions``."""
    properties = stack.of_type("AWS::StepFunctions::StateMachine")[request.param]
    return {**json.loads(properties["DefinitionString"]), "functions": properties["DefinitionSubstitutions"]}


def test_every_state_can_be_reached_and_left(machine: dict[str, Any]) -> None:
    """What a state names as next is there, and every state is named by another or comes first."""
    starts = {machine["StartAt"]}
    for state in states(machine):
        starts |= {inner["StartAt"] for inner in [state.body.get("ItemProcessor"), *state.body.get("Branches", [])] if inner}
    for state in states(machine):
        following = set(_next(state.body))
        assert following <= set(state.scope), state.name
        assert following or state.body.get("End") or state.body["Type"] in ("Succeed", "Fail"), state.name
        named = {name for other in state.scope.values() for name in _next(other)}
        assert state.name in named | starts, f"{state.name} cannot be reached"


def _next(body: dict[str, Any]) -> Iterator[str]:
    yield from (rule["Next"] for rule in [*body.get("Catch", []), *body.get("Choices", [])])
    yield from (body[key] for key in ("Next", "Default") if key in body)


def test_every_task_names_a_function_of_the_stack(machine: dict[str, Any], stack: Stack) -> None:
    """The placeholders of the definition and the functions that they are given are the same, by the same names."""
    used = {_function(state.body) for state in states(machine) if state.body["Type"] == "Task"}
    assert used == {f"${{{name}}}" for name in machine["functions"]}
    for name, value in machine["functions"].items():
        assert value == {"Fn::GetAtt": [name, "Arn"]}
        assert name in stack.functions


def _function(task: dict[str, Any]) -> str:
    """The placeholder of the function that a task calls: by itself, or handing it a token."""
    resource = str(task["Resource"])
    return str(task["Parameters"]["FunctionName"]) if resource.startswith("arn:") else resource


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_may_call_its_steps_and_no_other_function(stack: Stack, name: str) -> None:
    """The machine's role invokes exactly the functions that its definition names."""
    properties = stack.of_type("AWS::StepFunctions::StateMachine")[name]
    role = properties["RoleArn"]["Fn::GetAtt"][0]
    invokes = [item["Resource"] for item in stack.statements(role) if "lambda:InvokeFunction" in item["Action"]]
    assert [sorted(map(json.dumps, resource)) for resource in invokes] == [
        sorted(map(json.dumps, properties["DefinitionSubstitutions"].values()))
    ]


def test_every_task_is_tried_again(machine: dict[str, Any]) -> None:
    """A busy cloud is waited for with growing pauses; what is final is not tried again."""
    for state in states(machine):
        if state.body["Type"] == "Task":
            rules = {error: rule for rule in reversed(state.body["Retry"]) for error in rule["ErrorEquals"]}
            assert rules["CloudBusy"]["MaxAttempts"] >= 5, state.name
            assert rules["CloudBusy"]["BackoffRate"] > 1, state.name
            assert rules["Lambda.TooManyRequestsException"]["MaxAttempts"] >= 5, state.name
            assert all(rules[error]["MaxAttempts"] == 0 for error in ("BuildRefused", "CloudRefused", "SetupWrong")), (
                state.name
            )


def test_every_failure_is_caught(machine: dict[str, Any]) -> None:
    """No step's failure ends an execution without being written down."""
    lost = [
        state.name
        for state in states(machine)
        if state.body["Type"] == "Task"
        and not state.caught
        and _function(state.body).strip("${}") not in LAST_WORDS | MADE_UP_FOR
    ]
    assert not lost


def test_nothing_waits_for_ever(machine: dict[str, Any]) -> None:
    """The execution as a whole has a time limit."""
    assert 0 < machine["TimeoutSeconds"] <= 365 * 86400
