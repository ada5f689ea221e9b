"""A small discrete-event simulation: processes are generators that say how long they wait, or what they wait for."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable
from itertools import count

#: Seconds over which a rate is counted.
SPAN = 10

#: Yields seconds to wait, or another process to wait for.
Process = Generator["float | Task", None, None]


class Task:
    """A process under way; ``ended`` is when it ended, None before."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.ended: float | None = None
        self.waiting: list[Task] = []


class Simulation:
    """Runs processes by their own clock, which jumps from event to event."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Task]] = []
        self._number = count()

    def spawn(self, process: Process) -> Task:
        """Begin a process now."""
        task = Task(process)
        self._at(self.now, task)
        return task

    def run(self) -> float:
        """Go on until nothing is left to happen; returns the time."""
        while self._events:
            self.now, _, task = heapq.heappop(self._events)
            self._step(task)
        return self.now

    def all(self, processes: Iterable[Process], at_once: int) -> Process:
        """Run processes side by side, so many at once, and wait for them; to be used with ``yield from``."""
        waiting = iter(list(processes))

        def worker() -> Process:
            for process in waiting:
                yield from process

        yield from [self.spawn(worker()) for _ in range(at_once)]

    def _step(self, task: Task) -> None:
        try:
            wanted = next(task.process)
        except StopIteration:
            task.ended = self.now
            for each in task.waiting:
                self._at(self.now, each)
            return
        if not isinstance(wanted, Task):
            self._at(self.now + wanted, task)
        elif wanted.ended is None:
            wanted.waiting.append(task)
        else:
            self._at(self.now, task)

    def _at(self, when: float, task: Task) -> None:
        heapq.heappush(self._events, (when, next(self._number), task))


class Bucket:
    """A token bucket whose callers wait for their turn in the order in which they came, instead of being refused.

    ``busiest`` is the highest rate at which tokens were handed out, over any ten seconds.
    """

    def __init__(self, simulation: Simulation, size: float, refill: float) -> None:
        self._simulation = simulation
        self._size, self._refill = size, refill
        self._tokens, self._since = size, 0.0
        self._handed_out: dict[int, float] = {}

    def wait(self, tokens: float = 1) -> float:
        """Take tokens; returns the seconds until they are there."""
        now = self._simulation.now
        self._tokens = min(self._size, self._tokens + (now - self._since) * self._refill) - tokens
        self._since = now
        left = max(0.0, -self._tokens / self._refill)
        span = int((now + left) / SPAN)
        self._handed_out[span] = self._handed_out.get(span, 0) + tokens
        return left

    @property
    def busiest(self) -> float:
        return max(self._handed_out.values(), default=0) / SPAN


class Slots:
    """So many at once; who finds none free comes again."""

    def __init__(self, number: int) -> None:
        self.free = number

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self.free == 0:
            return False
        self.free -= 1
        return True

    def give_back(self) -> None:
        self.free += 1
