"""The steps of the rollout state machine; ``infra/rollout.asl.yaml`` carries out what they decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.handlers import wiring
from chalicelib.handlers.edge import Payload, step
from chalicelib.index.records import Gate, Kind, Rollout, RolloutState, Wave
from chalicelib.names import BuildId


class RolloutStep(Payload):
    """``rollout`` is the name of a release or a withdrawal."""

    rollout: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GateInput(_Strict):
    kind: Literal["none", "approval", "alarm", "function"] = "none"
    target: str = ""


class WaveInput(_Strict):
    name: str
    regions: list[str] = Field(min_length=1)
    bake: int = Field(default=0, ge=0)
    gate: GateInput = GateInput()


class Begin(RolloutStep):
    """A rollout as it is asked for: the whole of the state machine's input."""

    kind: Kind
    builds: list[str] = Field(min_length=1, max_length=100)
    waves: list[WaveInput] = Field(min_length=1)
    by: str
    at: str = ""
    undo: Literal["wave", "all", "nothing"] = "wave"
    reason: str = ""
    delete: bool = False

    def record(self, now: str) -> Rollout:
        """What the index keeps of it."""
        waves = tuple(
            Wave(each.name, tuple(each.regions), each.bake, Gate(each.gate.kind, each.gate.target)) for each in self.waves
        )
        return Rollout(
            name=self.rollout,
            kind=self.kind,
            builds=tuple(BuildId.parse(text) for text in self.builds),
            waves=waves,
            by=self.by,
            created=now,
            updated=now,
            at=self.at,
            undo=self.undo,
            reason=self.reason,
            delete=self.delete,
        )


class Proceed(RolloutStep):
    """``done``: the step that was carried out."""

    done: str = ""


class Hold(RolloutStep):
    """``token``: what Step Functions waits for."""

    token: str


class Steer(RolloutStep):
    """What a person wishes."""

    wish: Literal["pause", "continue", "abort"]


@step(Begin)
def begin_rollout(payload: Begin) -> dict[str, Any]:
    """Record the rollout and claim its builds."""
    driver = wiring.driver()
    rollout = driver.begin(payload.record(wiring.index().now()))
    return {"state": rollout.state, "reason": rollout.reason}


@step(Proceed)
def proceed_rollout(payload: Proceed) -> dict[str, Any]:
    """Answer the next step."""
    return wiring.driver().proceed(payload.rollout, payload.done)


@step(Hold)
def hold_rollout(payload: Hold) -> dict[str, Any]:
    """Keep the token of the state that waits for a person; give it back at once if somebody has been faster."""
    rollout = wiring.index().change_rollout(payload.rollout, lambda stored: replace(stored, token=payload.token))
    if rollout.state not in (RolloutState.PAUSED, RolloutState.WAITING):
        _let_go(rollout)
    return {"rollout": payload.rollout}


def _let_go(rollout: Rollout) -> None:
    """Wake the state that holds the rollout."""
    wiring.home("stepfunctions").send_task_success(taskToken=rollout.token, output="{}")


@step(Steer)
def steer_rollout(payload: Steer) -> dict[str, Any]:
    """Do as a person wishes, whom ``broadside release`` speaks for."""
    rollout = wiring.driver().steer(payload.rollout, payload.wish)
    if rollout.token and rollout.state not in (RolloutState.PAUSED, RolloutState.WAITING):
        _let_go(rollout)
    return {"state": rollout.state, "phase": rollout.phase, "wave": rollout.wave}
