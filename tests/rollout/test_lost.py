"""Promises about builds whose publication ended without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from moto import mock_aws

from chalicelib import aws
from chalicelib.index.records import BuildState, PublicationState
from chalicelib.index.table import Index
from chalicelib.rollout import conclude, lost
from tests.index.values import BUILD, Clock, empty_index, moto_client, record

STAGED, PLANNED, FAILED = PublicationState.STAGED, PublicationState.PLANNED, PublicationState.FAILED


@dataclass
class Room:
    """A build that is being published, with one Region done and one not."""

    index: Index
    clock: Clock
    states: aws.Client
    machine: str

    def lost(self) -> list[str]:
        return [str(each.id) for each in lost.find(self.index, self.states, self.machine)]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        clock = Clock()
        index = empty_index(clock)
        index.record_build(record())
        index.plan(BUILD, {"us-east-1": PLANNED, "eu-west-1": PLANNED})
        index.advance(BUILD, "us-east-1", STAGED)
        index.set_build(BUILD, state=BuildState.PUBLISHING)
        states = moto_client("stepfunctions")
        definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
        made = states.create_state_machine(
            name="publish", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/machine"
        )
        yield Room(index, clock, states, made["stateMachineArn"])


def test_a_build_that_has_just_changed_is_left_alone(room: Room) -> None:
    """Its execution may not be listed yet."""
    assert room.lost() == []


@pytest.mark.parametrize("attempt", [0, 2])
def test_a_build_that_somebody_works_on_is_left_alone(room: Room, attempt: int) -> None:
    """For hours, if need be, in its first try as in a retry."""
    room.states.start_execution(stateMachineArn=room.machine, name=BUILD.execution_name(record().digest, attempt))
    room.clock.time += timedelta(seconds=10 * lost.PATIENCE)
    assert room.lost() == []


def test_a_build_that_nobody_works_on_any_more_is_found_and_summed_up(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was reached stays, what was not says why, and a retry is possible."""
    monkeypatch.setattr(conclude, "write_status", lambda *_: None)
    room.clock.time += timedelta(seconds=2 * lost.PATIENCE)
    assert room.lost() == [str(BUILD)]
    outcome = conclude.Outcome(room.index, room.states, "builds")
    after = outcome.give_up(record(), lost.REASON)
    assert after.state is BuildState.STAGED
    found = {each.region: (each.state, each.reason) for each in room.index.publications(BUILD)}
    assert found == {"us-east-1": (STAGED, ""), "eu-west-1": (FAILED, lost.REASON)}
    assert room.lost() == []
