"""Telling a person what is going on, step by step: one line for each, with how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from chalicelib.errors import BroadsideError


@dataclass
class Step:
    """A step under way: ``detail`` is what is told of it at its end."""

    detail: str = ""


@dataclass
class Story:
    """Tells steps and checks on ``console``, and counts the checks that failed."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    failures: int = field(default=0, init=False)

    @contextmanager
    def step(self, title: str, *, drawn: bool = False) -> Iterator[Step]:
        """Tell a step when it has ended; on a terminal, show that it is under way unless the step is ``drawn`` by itself.

        What it raises passes through.
        """
        step, start = Step(), self.clock()
        try:
            with nullcontext() if drawn else self._under_way(title):
                yield step
        except BaseException:
            self._tell("✗", "bold red", title, step.detail, start)
            raise
        self._tell("✓", "green", title, step.detail, start)

    def check(self, title: str, look: Callable[[], str]) -> None:
        """Tell whether something holds: ``look`` answers what it saw, or raises the error that says why not."""
        start = self.clock()
        try:
            with self._under_way(title):
                seen = look()
        except BroadsideError as error:
            self.failures += 1
            self._tell("✗", "bold red", title, str(error), start)
        else:
            self._tell("✓", "green", title, seen, start)

    def heading(self, title: str) -> None:
        self.console.print()
        self.console.print(Text(title, "bold"))

    def _under_way(self, title: str) -> AbstractContextManager[object]:
        return self.console.status(f"{title} ...") if self.console.is_terminal else nullcontext()

    def _tell(self, mark: str, style: str, title: str, detail: str, start: float) -> None:
        took = f"{self.clock() - start:6.1f} s"
        self.console.print(Text.assemble((mark, style), " ", (f"{title:<16}", "bold"), (took, "dim"), "  ", detail))
