"""Promises about what a rollout does next, with a clock that is turned by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.index.records import Gate, Kind, Phase, Rollout, RolloutState, Wave
from chalicelib.rollout import steps
from chalicelib.rollout.steps import LEAD, LONGEST_WAIT, Do, Step
from tests.index.values import BUILD

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
WAVES = (
    Wave("canary", ("eu-west-1",), 1800, Gate("alarm", "web-errors")),
    Wave("half", ("ap-south-1", "eu-central-1"), 0, Gate("approval")),
    Wave("rest", ("us-east-1",)),
)
FIRST, SECOND = WAVES[0].regions, WAVES[1].regions
OPEN_PHASES = (Phase.OPEN, Phase.BAKE, Phase.GATE)
BACK_PHASES = (Phase.TAKE_BACK, Phase.CLOSE)
#: What Step Functions waits for is on record.
HELD: dict[str, Any] = {"token": "t"}
GONE_BY = st.floats(0, 2, allow_nan=False)


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def rollout(kind: Kind = Kind.RELEASE, waves: tuple[Wave, ...] = WAVES, **changes: Any) -> Rollout:
    made = Rollout("24.04.1", kind, (BUILD,), waves, "arn:one", stamp(NOW), stamp(NOW), since=stamp(NOW))
    return replace(made, **changes)


def withdrawal(**changes: Any) -> Rollout:
    waves = (Wave("all", ("eu-west-1", "us-east-1")),)
    return rollout(Kind.WITHDRAWAL, waves, reason="It does not boot.", **changes)


class Machine:
    """Carries steps out as the state machine does: waits turn the clock, people continue at once."""

    def __init__(self, start: Rollout, *, sick: str = "") -> None:
        self.rollout, self.now, self.sick = start, NOW, sick
        self.done: list[str] = []
        self.opened_at: list[datetime] = []

    def run(self) -> Rollout:
        for _ in range(200):
            self.rollout, step = steps.following(self.rollout, self.now)
            if step.do is not Do.WAIT:
                self.done.append(step.do)
            if step.do is Do.END:
                return self.rollout
            self._carry_out(step)
        raise AssertionError(f"it does not end: {self.done}")

    def _carry_out(self, step: Step) -> None:
        rollout, now = self.rollout, self.now
        if step.do is Do.WAIT:
            assert 1 <= step.seconds <= LONGEST_WAIT
            self.now += timedelta(seconds=step.seconds)
        elif step.do is Do.OPEN:
            self.now += timedelta(seconds=steps.seconds_left(rollout, now))
            self.opened_at.append(self.now)
            self.rollout = steps.opened(rollout, self.now)
        elif step.do is Do.ASK:
            healthy = rollout.waves[rollout.wave].name != self.sick
            self.rollout = steps.judged(rollout, healthy, "the alarm is raised.", now)
        elif step.do is Do.HOLD:
            self.rollout = steps.continued(rollout, now)
        elif step.do is Do.TAKE_BACK:
            self.rollout = steps.taken_back(rollout, now)
        elif step.do is Do.CLOSE:
            self.rollout = steps.closed(rollout, ())


def at(phase: Phase, wave: int = 0, **changes: Any) -> Rollout:
    return rollout(phase=phase, wave=wave, **changes)


def test_a_release_goes_through_its_waves_and_is_done() -> None:
    """Each is opened, watched for its time and asked about; the second one by a person."""
    machine = Machine(rollout())
    after = machine.run()
    assert machine.done == ["open", "ask", "open", "hold", "open", "ask", "end"]
    assert (after.state, after.reason, after.wave) == (RolloutState.DONE, "", 2)
    assert machine.opened_at[0] == NOW
    assert machine.opened_at[1] >= NOW + timedelta(seconds=1800)


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * LONGEST_WAIT), st.sampled_from(["none", "approval", "alarm", "function"])), min_size=1
    )
)
def test_every_release_ends_whatever_its_waves(waves: list[tuple[int, str]]) -> None:
    """Each wave is opened once, in order, and never before the one before it was watched."""
    made = tuple(Wave(f"w{n}", (f"r{n}",), bake, Gate(kind)) for n, (bake, kind) in enumerate(waves))
    start = rollout(waves=made[:10])
    machine = Machine(start)
    assert machine.run().state is RolloutState.DONE
    assert machine.done.count("open") == len(start.waves)
    for wave, (one, next_one) in zip(start.waves, zip(machine.opened_at, machine.opened_at[1:], strict=False), strict=False):
        assert next_one - one >= timedelta(seconds=wave.bake)


@given(st.floats(-100, 400_000, allow_nan=False))
def test_a_scheduled_release_opens_at_its_minute(ahead: float) -> None:
    """However far off it is: never before, and late only if it was begun late."""
    start = NOW.replace(microsecond=0) - timedelta(seconds=ahead)
    minute = NOW
    machine = Machine(rollout(at=stamp(minute), state=RolloutState.SCHEDULED))
    machine.now = start
    machine.run()
    opened = machine.opened_at[0]
    assert opened >= minute
    assert opened - max(minute, start) < timedelta(milliseconds=1)


@given(st.floats(LEAD + 0.001, 400_000, allow_nan=False))
def test_a_wait_ends_before_the_minute(left: float) -> None:
    """Bounded, so that an abort is seen, and short enough that the clock has the last seconds to itself."""
    minute = NOW
    after, step = steps.following(rollout(at=stamp(minute)), minute - timedelta(seconds=left))
    assert step.do is Do.WAIT
    assert 1 <= step.seconds <= LONGEST_WAIT
    assert left - step.seconds > 0
    assert (after.state, after.phase) == (RolloutState.SCHEDULED, Phase.READY)


def test_only_the_first_wave_has_a_minute() -> None:
    """The others go when their turn comes."""
    later = at(Phase.READY, wave=1, at=stamp(NOW + timedelta(hours=3)))
    assert steps.seconds_left(later, NOW) == 0
    assert steps.following(later, NOW)[1].do is Do.OPEN


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("wave", [0, 1, 2])
@pytest.mark.parametrize("wish", ["", "pause", "abort"])
@pytest.mark.parametrize("undo", ["wave", "all", "nothing"])
@given(gone_by=GONE_BY)
def test_asking_twice_gives_the_same_step(phase: Phase, wave: int, wish: str, undo: str, gone_by: float) -> None:
    """A step whose answer was lost is asked for again, and is the same, in every phase."""
    now = NOW + timedelta(hours=gone_by)
    first, step = steps.following(at(phase, wave, wish=wish, undo=undo), now)
    assert steps.following(first, now) == (first, step)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.READY])
def test_a_pause_waits_for_the_wave_to_end(phase: Phase) -> None:
    """What is under way goes on as it would without."""
    now = NOW + timedelta(hours=1)
    paused, step = steps.following(at(phase, wish="pause"), now)
    assert step == steps.following(at(phase), now)[1]
    assert paused.wish == "pause"


@pytest.mark.parametrize("state", [RolloutState.RUNNING, RolloutState.SCHEDULED])
@pytest.mark.parametrize("wave", [0, 1])
def test_a_pause_holds_the_next_wave_until_somebody_continues(wave: int, state: RolloutState) -> None:
    """Its minute may come and go; continued, the wave opens."""
    paused, step = steps.following(at(Phase.READY, wave, wish="pause", state=state, at=stamp(NOW)), NOW)
    assert (step.do, paused.state) == (Do.HOLD, RolloutState.PAUSED)
    going = steps.continued(replace(paused, **HELD), NOW)
    assert (going.state, going.wish) == (RolloutState.RUNNING, "")
    assert steps.following(going, NOW)[1].do is Do.OPEN


def test_a_pause_that_has_not_come_to_pass_can_be_taken_back() -> None:
    """While the wave before is still being watched."""
    assert steps.continued(at(Phase.BAKE, wish="pause"), NOW) == at(Phase.BAKE)


def test_a_person_opens_a_gate() -> None:
    """It waits for ever, and goes on to the next wave; behind the last one the release is done."""
    waiting, step = steps.following(at(Phase.GATE, 1), NOW)
    assert (step.do, waiting.state) == (Do.HOLD, RolloutState.WAITING)
    after = steps.continued(replace(waiting, **HELD), NOW)
    assert (after.wave, after.phase, after.state) == (2, Phase.READY, RolloutState.RUNNING)
    last = steps.continued(replace(waiting, waves=WAVES[:2]), NOW)
    assert last.state is RolloutState.DONE


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("state", [RolloutState.RUNNING, RolloutState.SCHEDULED])
def test_continuing_what_nobody_holds_changes_nothing(phase: Phase, state: RolloutState) -> None:
    """A second word of the same person comes too late."""
    assert steps.continued(at(phase, state=state), NOW) == at(phase, state=state)


@pytest.mark.parametrize("phase", OPEN_PHASES)
@pytest.mark.parametrize("wave", [0, 1, 2])
def test_an_abort_takes_the_wave_back_that_is_under_way(phase: Phase, wave: int) -> None:
    """Then it has failed, and says so."""
    machine = Machine(at(phase, wave, wish="abort"))
    after = machine.run()
    assert machine.done == ["take-back", "close", "end"]
    assert steps.regions_to_take_back(after) == WAVES[wave].regions
    assert (after.state, after.reason, after.wish) == (RolloutState.FAILED, "It was aborted.", "")


@pytest.mark.parametrize("state", [RolloutState.RUNNING, RolloutState.SCHEDULED, RolloutState.PAUSED])
@pytest.mark.parametrize("undo", ["wave", "all", "nothing"])
def test_an_abort_before_the_first_wave_ends_at_once(state: RolloutState, undo: str) -> None:
    """There is nothing to take back."""
    machine = Machine(at(Phase.READY, wish="abort", state=state, undo=undo, at=stamp(NOW + timedelta(days=1))))
    after = machine.run()
    assert (machine.done, machine.now) == (["end"], NOW)
    assert (after.state, after.reason) == (RolloutState.FAILED, "It was aborted.")


def test_an_abort_between_two_waves_leaves_what_has_passed_its_gate() -> None:
    """Unless everything is to go back: then that does, and what never went out is not touched."""
    assert Machine(at(Phase.READY, 1, wish="abort")).run().state is RolloutState.FAILED
    machine = Machine(at(Phase.READY, 1, wish="abort", undo="all"))
    after = machine.run()
    assert machine.done == ["take-back", "close", "end"]
    assert steps.regions_to_take_back(after) == FIRST


@pytest.mark.parametrize("phase", BACK_PHASES)
@pytest.mark.parametrize("wish", ["abort", "pause"])
def test_taking_back_is_not_stopped(phase: Phase, wish: str) -> None:
    """It keeps the reason for which it began."""
    after = Machine(at(phase, wish=wish, reason="The alarm is raised.")).run()
    assert (after.state, after.reason) == (RolloutState.FAILED, "The alarm is raised.")


@pytest.mark.parametrize(("undo", "back"), [("wave", SECOND), ("all", FIRST + SECOND), ("nothing", ())])
def test_a_gate_that_fails_takes_back_what_the_release_says(undo: str, back: tuple[str, ...]) -> None:
    """The wave, all that went out, or nothing; the waves after it never go."""
    waves = (WAVES[0], replace(WAVES[1], gate=Gate("function", "arn")), WAVES[2])
    machine = Machine(rollout(waves=waves, undo=undo), sick="half")
    after = machine.run()
    ending = ["take-back", "close", "end"] if back else ["end"]
    assert machine.done == ["open", "ask", "open", "ask", *ending]
    assert steps.regions_to_take_back(after) == back
    assert after.state is RolloutState.FAILED
    assert after.reason == "The gate of the wave half did not open: the alarm is raised."


def test_a_withdrawal_only_takes_back() -> None:
    """Everywhere at once, at once, and is done."""
    machine = Machine(withdrawal(at=stamp(NOW + timedelta(days=1))))
    after = machine.run()
    assert (machine.done, machine.now) == (["take-back", "close", "end"], NOW)
    assert steps.regions_to_take_back(after) == ("eu-west-1", "us-east-1")
    assert (after.state, after.reason) == (RolloutState.DONE, "It does not boot.")


@pytest.mark.parametrize("phase", [Phase.READY, *BACK_PHASES])
@pytest.mark.parametrize("wish", ["pause", "abort"])
def test_a_withdrawal_keeps_its_reason_whatever_is_wished(phase: Phase, wish: str) -> None:
    """Once begun it goes to its end: what was half taken back helps nobody, and readers are told why."""
    after = Machine(withdrawal(phase=phase, wish=wish)).run()
    assert (after.state, after.reason) == (RolloutState.DONE, "It does not boot.")


@pytest.mark.parametrize("start", [withdrawal(phase=Phase.CLOSE), at(Phase.CLOSE, reason="It does not boot.")])
def test_a_region_that_could_not_be_closed_is_named(start: Rollout) -> None:
    """With the reason that was there, and the way on; then it has failed, also as a withdrawal."""
    after = steps.closed(start, {"us-east-1", "eu-west-1"})
    assert after.state is RolloutState.FAILED
    assert after.reason.startswith("It does not boot. Not made private in eu-west-1, us-east-1:")


@pytest.mark.parametrize("state", sorted(steps.ENDED))
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("wish", ["", "pause", "abort"])
def test_what_has_ended_stays_ended(state: RolloutState, phase: Phase, wish: str) -> None:
    """Whatever is said of it, by whomever, however late."""
    ended = at(phase, state=state, wish=wish, reason="why")
    after, step = steps.following(ended, NOW + timedelta(days=1))
    assert (after, step.do) == (ended, Do.END)
    for later in (
        steps.judged(ended, True, "", NOW),
        steps.judged(ended, False, "sick", NOW),
        steps.failed(ended, "another", NOW),
        steps.closed(ended, {"us-east-1"}),
    ):
        assert later == ended
    assert steps.following(steps.opened(ended, NOW), NOW)[1].do is Do.END
    assert steps.following(steps.taken_back(ended, NOW), NOW)[1].do is Do.END
    assert steps.following(steps.continued(ended, NOW), NOW)[1].do is Do.END


@pytest.mark.parametrize("phase", Phase)
def test_a_late_report_of_another_phase_changes_nothing(phase: Phase) -> None:
    """Only the phase that was carried out leads on."""
    here = at(phase)
    reports = {
        Phase.OPEN: steps.opened(here, NOW + timedelta(1)),
        Phase.GATE: steps.judged(here, True, "", NOW + timedelta(1)),
        Phase.TAKE_BACK: steps.taken_back(here, NOW + timedelta(1)),
        Phase.CLOSE: steps.closed(here, ()),
    }
    assert {each for each, after in reports.items() if after != here} == {phase} & set(reports)
