"""Promises of the rollout state machine's steps: a person's word reaches the state that waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from chalicelib import policy
from chalicelib.errors import SetupWrong
from chalicelib.handlers import rollout as handlers
from chalicelib.handlers import wiring
from chalicelib.index.records import BuildState, PublicationState, Rollout, RolloutState
from chalicelib.index.table import Index
from chalicelib.policy import Policies
from chalicelib.rollout import regions
from chalicelib.rollout.driver import Driver
from tests.index.values import BUILD, Clock, empty_index, record

CONTEXT: Any = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:us-east-1:1:function:f", aws_request_id="1"
)
NAME = "24.04.1"
FIRST, SECOND = "eu-west-1", "us-east-1"
P = PublicationState


@dataclass
class Room:
    """A staged build in two Regions; remembers the tokens that were answered."""

    index: Index
    clock: Clock
    woken: list[str] = field(default_factory=list)

    def send_task_success(self, taskToken: str, output: str) -> None:  # noqa: N803 - boto3's name
        assert output == "{}"
        self.woken.append(taskToken)

    def begin(self, **changes: Any) -> dict[str, Any]:
        waves = [
            {"name": "canary", "regions": [FIRST], "gate": {"kind": "approval"}},
            {"name": "rest", "regions": [SECOND]},
        ]
        asked = {"rollout": NAME, "kind": "release", "builds": [str(BUILD)], "waves": waves, "by": "arn:one"}
        return dict(handlers.begin_rollout(asked | changes, CONTEXT))

    def proceed(self, done: str = "") -> str:
        return str(handlers.proceed_rollout({"rollout": NAME, "done": done}, CONTEXT)["do"])

    def hold(self, token: str = "t1") -> None:  # noqa: S107 - no secret
        handlers.hold_rollout({"rollout": NAME, "token": token}, CONTEXT)

    def steer(self, wish: str) -> dict[str, Any]:
        return dict(handlers.steer_rollout({"rollout": NAME, "wish": wish}, CONTEXT))

    def stored(self) -> Rollout:
        found = self.index.rollout(NAME)
        assert found is not None
        return found


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        clock = Clock()
        made = Room(empty_index(clock), clock)
        made.index.record_build(record())
        made.index.plan(BUILD, {FIRST: P.PLANNED, SECOND: P.PLANNED})
        for region in (FIRST, SECOND):
            made.index.advance(BUILD, region, P.STAGED, image_id=f"ami-{region}")
        made.index.set_build(BUILD, state=BuildState.STAGED)
        driver = Driver(
            made.index,
            named=lambda _: set(),
            ask=lambda _: (True, ""),
            exposed=lambda _: True,
            clock=lambda: clock.time.astimezone(UTC),
            sleep=lambda _: None,
        )
        monkeypatch.setattr(wiring, "index", lambda: made.index)
        monkeypatch.setattr(wiring, "driver", lambda: driver)
        monkeypatch.setattr(wiring, "home", lambda _service: made)
        yield made


def at_the_gate(room: Room) -> None:
    """The first wave is out, and a person is waited for."""
    room.begin()
    assert room.proceed() == "open"
    room.index.advance(BUILD, FIRST, P.PUBLIC)
    assert room.proceed("open") == "hold"
    room.hold()


def test_a_rollout_is_begun_once(room: Room) -> None:
    """Its builds are claimed; begun again it is the same one."""
    assert room.begin() == room.begin() == {"state": "running", "reason": ""}
    stored = room.index.build(BUILD)
    assert stored is not None
    assert stored.claimed_by == f"release {NAME}"


def test_a_rollout_of_what_somebody_else_works_on_is_refused(room: Room) -> None:
    """It says who, and leaves the claim alone."""
    room.index.claim(BUILD, "withdrawal oops")
    answer = room.begin()
    assert answer["state"] == "refused"
    assert "withdrawal oops" in answer["reason"]
    assert room.proceed() == "end"
    stored = room.index.build(BUILD)
    assert stored is not None
    assert stored.claimed_by == "withdrawal oops"


@pytest.mark.parametrize(
    "changes", [{"rollout": "no spaces"}, {"kind": "other"}, {"builds": []}, {"waves": []}, {"undo": "some"}]
)
def test_what_cannot_be_a_rollout_is_not_begun(room: Room, changes: dict[str, Any]) -> None:
    """The state machine's input is checked before anything is recorded."""
    with pytest.raises(SetupWrong):
        room.begin(**changes)
    assert room.index.rollouts() == []


def test_a_build_that_failed_before_its_files_were_verified_is_not_released(room: Room) -> None:
    """Else its files would be offered for download unverified; nor is one that is not there, and no claim is left behind."""
    other = replace(BUILD, serial="20261121")
    room.index.record_build(record(other))
    room.index.set_build(other, state=BuildState.FAILED, reason="S3 was out of reach.")
    answer = room.begin(builds=[str(BUILD), str(other)])
    assert (answer["state"], "S3 was out of reach." in answer["reason"]) == ("refused", True)
    missing = room.begin(rollout="24.04.2", builds=[str(BUILD), str(replace(BUILD, serial="20261122"))])
    assert (missing["state"], "There is no build" in missing["reason"]) == ("refused", True)
    assert [each.claimed_by for each in room.index.builds(BUILD.stream)] == ["", ""]


def test_only_the_waves_turn_has_come(room: Room) -> None:
    """Its Regions are opened, the others are held."""
    room.begin()
    answer = handlers.proceed_rollout({"rollout": NAME}, CONTEXT)
    assert [item["region"] for item in answer["items"]] == [FIRST]
    assert [file["file"] for file in answer["files"]] == ["disk.img"]
    assert [bool(each.released_at) for each in room.index.publications(BUILD)] == [True, False]


def test_a_gate_is_opened_by_a_persons_word(room: Room) -> None:
    """The state that waits is woken, and the next wave opens; in the end the build is free."""
    at_the_gate(room)
    room.steer("continue")
    assert room.woken == ["t1"]
    assert room.proceed("hold") == "open"
    assert room.proceed("open") == "end"
    assert room.stored().state is RolloutState.DONE
    stored = room.index.build(BUILD)
    assert stored is not None
    assert stored.claimed_by == ""


def test_an_abort_wakes_the_state_that_waits(room: Room) -> None:
    """Else what went out would stay there for as long as the state waits."""
    at_the_gate(room)
    room.steer("abort")
    assert room.woken == ["t1"]
    room.clock.time = room.clock.time.replace(hour=18)
    assert room.proceed("hold") == "close"
    assert [each.state for each in room.index.publications(BUILD)] == [P.STAGED, P.STAGED]


def test_a_retry_after_an_undone_release_opens_no_downloads(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The build is held again, in every respect."""
    at_the_gate(room)
    room.steer("abort")
    room.clock.time = room.clock.time.replace(hour=18)
    assert room.proceed("hold") == "close"
    room.index.made_private(BUILD, FIRST)
    assert room.proceed("close") == "end"
    stored = room.index.build(BUILD)
    assert stored is not None
    assert (stored.state, stored.downloads_at) == (BuildState.STAGED, "")
    monkeypatch.setattr(policy, "_policies", Policies)
    ec2: Any = SimpleNamespace(describe_regions=lambda **_: {"Regions": []})
    assert regions.plan(room.index, ec2, stored) == ([], False)


def test_a_pause_waits_for_a_word_and_an_abort_ends_it(room: Room) -> None:
    """Before the first wave there is nothing to take back: the builds are free at once, and the state machine ends."""
    room.begin()
    room.steer("pause")
    assert room.proceed() == "hold"
    room.hold()
    room.steer("pause")
    assert room.woken == []
    room.steer("abort")
    assert (room.stored().state, room.woken) == (RolloutState.FAILED, ["t1"])
    assert room.proceed("hold") == "end"


def test_a_pause_that_has_not_come_to_pass_is_taken_back_by_continuing(room: Room) -> None:
    """Nothing waits for a token yet, and nothing needs to."""
    room.begin()
    room.steer("pause")
    room.steer("continue")
    assert room.proceed() == "open"


def test_a_scheduled_release_that_was_paused_goes_on(room: Room) -> None:
    """Paused and continued while the state machine waits for the minute."""
    room.begin(at="2026-11-21T09:30:00Z")
    assert room.proceed() == "wait"
    room.steer("pause")
    assert room.stored().state is RolloutState.PAUSED
    room.steer("continue")
    assert room.proceed() == "wait"
    room.clock.time = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert room.proceed() == "open"


def test_what_has_ended_is_not_steered(room: Room) -> None:
    """It says how it ended."""
    room.begin()
    room.index.change_rollout(NAME, lambda each: replace(each, state=RolloutState.DONE))
    with pytest.raises(SetupWrong, match=f"The release {NAME} is done already"):
        room.steer("abort")


def test_a_withdrawal_is_not_done_before_everything_is_private(room: Room) -> None:
    """A Region that could not be closed is named, and the withdrawal has failed."""
    waves = [{"name": "all", "regions": [FIRST, SECOND]}]
    room.begin(kind="withdrawal", waves=waves, reason="It does not boot.")
    assert room.proceed() == "wait"
    room.clock.time = room.clock.time.replace(hour=18)
    answer = handlers.proceed_rollout({"rollout": NAME}, CONTEXT)
    assert (answer["do"], [item["region"] for item in answer["items"]]) == ("close", [FIRST, SECOND])
    room.index.made_private(BUILD, FIRST)
    assert room.proceed("close") == "end"
    stored = room.stored()
    assert stored.state is RolloutState.FAILED
    assert f"Not made private in {SECOND}" in stored.reason
    build = room.index.build(BUILD)
    assert build is not None
    assert (build.state, build.claimed_by) == (BuildState.WITHDRAWN, "")
