"""What a rollout does next: decided from its record alone, without I/O.

A rollout goes through its waves, and each wave through its phases (:class:`chalicelib.index.records.Phase`)::

    ready -> open -> bake -> gate -> (the next wave's) ready ... -> done
                               \\-> take-back -> close -> failed        a gate failed, or somebody aborted
    take-back -> close -> done                                          a withdrawal is nothing else

The state machine carries a step out and asks again.  Asking twice for the same step gives the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.index.records import Kind, Phase, Rollout, RolloutState, Wave

#: Seconds before its minute that a rollout is ready for it: the last of them are waited for by the clock, not by a state.
LEAD = 5

#: The longest that a state waits in one go, in seconds: how long an abort may go unseen.
LONGEST_WAIT = 3600

ENDED = frozenset({RolloutState.DONE, RolloutState.FAILED, RolloutState.REFUSED})


class Do(StrEnum):
    """A step, by the name that the state machine knows."""

    WAIT = "wait"  # for some seconds, then ask again
    OPEN = "open"  # the wave's Regions, at the minute
    ASK = "ask"  # the gate for the wave's health
    HOLD = "hold"  # until a person continues it
    TAKE_BACK = "take-back"  # out of the public files
    CLOSE = "close"  # private
    END = "end"


@dataclass(frozen=True)
class Step:
    """What is to be done, and for how many seconds where it is waiting."""

    do: Do
    seconds: int = 0


def following(rollout: Rollout, now: datetime) -> tuple[Rollout, Step]:
    """The next step, and the rollout as it is then."""
    if rollout.wish == "abort":
        rollout = failed(rollout, "It was aborted.", now)
    if rollout.state in ENDED:
        return rollout, Step(Do.END)
    return _PHASES[rollout.phase](rollout, now)


def _ready(rollout: Rollout, now: datetime) -> tuple[Rollout, Step]:
    if rollout.kind is Kind.WITHDRAWAL:
        return _at(rollout, Phase.TAKE_BACK, now), Step(Do.TAKE_BACK)
    if rollout.wish == "pause":
        return replace(rollout, state=RolloutState.PAUSED), Step(Do.HOLD)
    left = seconds_left(rollout, now)
    if left > LEAD:
        # Short of the minute, so that the clock is looked at once more.
        return replace(rollout, state=RolloutState.SCHEDULED), Step(Do.WAIT, max(1, min(LONGEST_WAIT, int(left) - LEAD + 1)))
    return _at(rollout, Phase.OPEN, now, state=RolloutState.RUNNING), Step(Do.OPEN)


def _bake(rollout: Rollout, now: datetime) -> tuple[Rollout, Step]:
    ends = datetime.fromisoformat(rollout.since) + timedelta(seconds=_wave(rollout).bake)
    left = (ends - now).total_seconds()
    if left > 0:
        return rollout, Step(Do.WAIT, max(1, min(LONGEST_WAIT, int(left) + 1)))
    return following(_at(rollout, Phase.GATE, now), now)


def _gate(rollout: Rollout, _now: datetime) -> tuple[Rollout, Step]:
    if _wave(rollout).gate.kind == "approval":
        return replace(rollout, state=RolloutState.WAITING), Step(Do.HOLD)
    return rollout, Step(Do.ASK)


_PHASES: dict[Phase, Callable[[Rollout, datetime], tuple[Rollout, Step]]] = {
    Phase.READY: _ready,
    Phase.OPEN: lambda rollout, _now: (rollout, Step(Do.OPEN)),
    Phase.BAKE: _bake,
    Phase.GATE: _gate,
    Phase.TAKE_BACK: lambda rollout, _now: (rollout, Step(Do.TAKE_BACK)),
    Phase.CLOSE: lambda rollout, _now: (rollout, Step(Do.CLOSE)),
}


def seconds_left(rollout: Rollout, now: datetime) -> float:
    """Seconds until the first wave's minute; 0 when it has come, or there is none."""
    if not rollout.at or rollout.wave:
        return 0.0
    return max(0.0, (datetime.fromisoformat(rollout.at) - now).total_seconds())


def opened(rollout: Rollout, now: datetime) -> Rollout:
    """The wave's Regions were gone through, whatever became of each."""
    return _at(rollout, Phase.BAKE, now) if rollout.phase is Phase.OPEN else rollout


def judged(rollout: Rollout, healthy: bool, why: str, now: datetime) -> Rollout:
    """The gate has answered: on to the next wave, or back."""
    if rollout.phase is not Phase.GATE or rollout.state in ENDED:
        return rollout
    if not healthy:
        return failed(rollout, f"The gate of the wave {_wave(rollout).name} did not open: {why}", now)
    if rollout.wave + 1 == len(rollout.waves):
        return _at(rollout, Phase.GATE, now, state=RolloutState.DONE)
    return _at(rollout, Phase.READY, now, wave=rollout.wave + 1, state=RolloutState.RUNNING)


def continued(rollout: Rollout, now: datetime) -> Rollout:
    """A person has it go on: from a pause, or through a gate."""
    if rollout.state is RolloutState.PAUSED:
        return replace(rollout, state=RolloutState.RUNNING, wish="")
    if rollout.state is RolloutState.WAITING:
        return judged(rollout, True, "", now)
    return replace(rollout, wish="") if rollout.wish == "pause" else rollout


def failed(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """The rollout fails: what its policy wants back goes back first."""
    if rollout.kind is Kind.WITHDRAWAL or rollout.phase in (Phase.TAKE_BACK, Phase.CLOSE) or rollout.state in ENDED:
        return rollout
    # Its token is needed to wake the state that holds it.  What comes next has not begun: the wave before was the last.
    last = rollout.wave - (rollout.phase is Phase.READY)
    told = replace(rollout, reason=reason, wish="")
    if regions_to_take_back(told):
        return _at(told, Phase.TAKE_BACK, now, wave=max(0, last), state=RolloutState.RUNNING)
    return replace(told, state=RolloutState.FAILED)


def taken_back(rollout: Rollout, now: datetime) -> Rollout:
    """Readers and caches have forgotten what was taken back."""
    return _at(rollout, Phase.CLOSE, now) if rollout.phase is Phase.TAKE_BACK else rollout


def closed(rollout: Rollout, left: Collection[str]) -> Rollout:
    """What was taken back is private, but for the Regions that are ``left``."""
    if rollout.phase is not Phase.CLOSE or rollout.state in ENDED:
        return rollout
    if left:
        still = f"Not made private in {', '.join(sorted(left))}: see the log of MakePrivate, then withdraw it again."
        return replace(rollout, state=RolloutState.FAILED, reason=f"{rollout.reason} {still}".strip())
    return replace(rollout, state=RolloutState.DONE if rollout.kind is Kind.WITHDRAWAL else RolloutState.FAILED)


def regions_to_take_back(rollout: Rollout) -> tuple[str, ...]:
    """The Regions that go back: all of a withdrawal; of a release those of the waves that its policy names."""
    if rollout.kind is Kind.WITHDRAWAL:
        return rollout.waves[0].regions
    begun = rollout.waves[: rollout.wave + (0 if rollout.phase is Phase.READY else 1)]
    waves = {"wave": begun[rollout.wave :], "all": begun, "nothing": ()}[rollout.undo]
    return tuple(region for wave in waves for region in wave.regions)


def _wave(rollout: Rollout) -> Wave:
    return rollout.waves[rollout.wave]


def _at(
    rollout: Rollout, phase: Phase, now: datetime, *, wave: int | None = None, state: RolloutState | None = None
) -> Rollout:
    return replace(
        rollout,
        phase=phase,
        since=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        wave=rollout.wave if wave is None else wave,
        state=state or rollout.state,
    )
