"""Releases and withdrawals under way: starting, steering and watching them."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from rich.text import Text

from broadside.cli.builds import Executions, NotNow
from broadside.cli.common import App, client, make_table
from broadside.cli.progress import STYLES
from chalicelib.errors import BroadsideError
from chalicelib.index.records import Kind, Rollout, RolloutState, Wave
from chalicelib.names import BuildId

if TYPE_CHECKING:
    from rich.console import Console

    from chalicelib.aws import Client
    from chalicelib.index.table import Index

#: What a release or a withdrawal may be called.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

#: Seconds between two looks.
INTERVAL = 1.0

ENDED = frozenset({RolloutState.DONE, RolloutState.FAILED, RolloutState.REFUSED})


class NoSuchRollout(BroadsideError):
    """What the user typed names no release and no withdrawal."""


@dataclass(frozen=True)
class Request:
    """A release or a withdrawal that is to be started."""

    name: str
    kind: Kind
    builds: tuple[BuildId, ...]
    waves: tuple[Wave, ...]
    by: str
    at: str = ""
    undo: str = "wave"
    reason: str = ""
    delete: bool = False

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def regions(self) -> list[str]:
        return sorted(region for wave in self.waves for region in wave.regions)

    def as_input(self) -> dict[str, Any]:
        """The state machine's input."""
        return {
            "rollout": self.name,
            "kind": str(self.kind),
            "builds": [str(build) for build in self.builds],
            "waves": [asdict(wave) | {"regions": list(wave.regions)} for wave in self.waves],
            "by": self.by,
            "at": self.at,
            "undo": self.undo,
            "reason": self.reason,
            "delete": self.delete,
        }


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of an installation."""

    index: Index
    states: Client
    functions: Client
    machine: str
    steerer: str

    @classmethod
    def of(cls, app: App) -> Self:
        stack = app.stack
        return cls(
            app.index,
            client(app.session, "stepfunctions"),
            client(app.session, "lambda"),
            stack.rollout_state_machine,
            stack.steer_rollout,
        )

    def next_name(self) -> str:
        """The day, and a count of what has begun on it."""
        day = datetime.now(UTC).strftime("%Y%m%d")
        taken = {rollout.name for rollout in self.index.rollouts()}
        return next(name for number in range(1, 10_000) if (name := f"{day}-{number}") not in taken)

    def begin(self, request: Request) -> str:
        """Start the request; returns the execution's ARN.

        Raises:
            NotNow: the name is taken.
            CloudError: Step Functions did not start it.
        """
        if not re.fullmatch(NAME, request.name):
            raise NotNow(f"{request.name!r} cannot be a name: take letters, digits, dots, dashes and underscores, at most 64.")
        if self.index.rollout(request.name) is not None:
            raise NotNow(f"There is a release or withdrawal {request.name} already: choose another --name.")
        answer = self.states.start_execution(
            stateMachineArn=self.machine, name=request.name, input=json.dumps(request.as_input())
        )
        return str(answer["executionArn"])

    def find(self, name: str) -> Rollout:
        """The rollout of that name.

        Raises:
            NoSuchRollout: there is none.
        """
        found = self.index.rollout(name)
        if found is None:
            raise NoSuchRollout(f"There is no release or withdrawal {name!r}: `broadside release list` has them.")
        return found

    def steer(self, name: str, wish: str) -> dict[str, Any]:
        """Have the rollout pause, continue or end.

        Raises:
            NoSuchRollout: there is none.
            NotNow: it has ended, or says why it cannot.
        """
        self.find(name)
        answer = self.functions.invoke(FunctionName=self.steerer, Payload=json.dumps({"rollout": name, "wish": wish}))
        said: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise NotNow(str(said.get("errorMessage", said)))
        return said


def plan_of(rollout: Rollout) -> dict[str, Any]:
    """A rollout for programs; the token is nobody's business."""
    plain = asdict(rollout) | {"builds": [str(build) for build in rollout.builds]}
    plain.pop("token")
    return plain


def headline(rollout: Rollout) -> str:
    """One line: what it is, and how it stands."""
    where = f", wave {rollout.wave + 1} of {len(rollout.waves)} ({rollout.waves[rollout.wave].name}): {rollout.phase}"
    at = f" for {rollout.at}" if rollout.state is RolloutState.SCHEDULED else ""
    return f"{rollout.title} is {rollout.state}{at}" + ("" if rollout.state in ENDED else where)


def show(index: Index, rollout: Rollout, console: Console) -> None:
    """The rollout, and where its builds stand in each Region of each wave."""
    console.print(headline(rollout))
    publications = {(each.build, each.region): each for build in rollout.builds for each in index.publications(build)}
    rows = []
    for wave in rollout.waves:
        for region in wave.regions:
            states = [publications.get((build, region)) for build in rollout.builds]
            cells = [Text(str(each.state), STYLES[each.state]) if each else Text("-") for each in states]
            rows.append([wave.name, region, *cells])
    console.print(make_table(["WAVE", "REGION", *(build.serial for build in rollout.builds)], rows))
    if rollout.reason:
        console.print(Text(rollout.reason, "bold red" if rollout.kind is Kind.RELEASE else ""))


def wait_for(app: App, name: str, console: Console) -> int:
    """Tell each change until the rollout has come to its end; returns the exit code."""
    index, last = app.index, ""
    executions = Executions(client(app.session, "stepfunctions"), app.stack.rollout_state_machine)

    def runs() -> bool:
        """Whether the execution runs; asked first, so that what it did last is seen by the look that follows."""
        return executions.is_running(name)

    while True:
        rollout = index.rollout(name)
        line = headline(rollout) if rollout else f"{name} is about to begin"
        if line != last:
            console.print(line)
            last = line
        if rollout is not None and rollout.state in ENDED:
            show(index, rollout, console)
            return 0 if rollout.state is RolloutState.DONE else 1
        if not runs():
            console.print(f"Its execution has ended without bringing it to its end: see {name} in Step Functions.")
            return 1
        time.sleep(INTERVAL)
