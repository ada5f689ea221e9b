"""Keeping the calls to one Region below its limit, and slowing down where it throttles."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: A throttle halves the pace; every call that is taken brings back this share of the full one.
RECOVERY = 0.02
#: The pace never falls below this share of the full one: at it, the largest shard still fits into a function's 900 seconds.
SLOWEST = 1 / 8
#: Seconds within which further throttles say nothing new: they are the answers to calls that were under way already.
ONE_BURST = 1.0


class Pace:
    """Hands out turns, ``rate`` a second at most, to any number of threads.

    Args:
        rate: calls a second.
        clock, sleep: seconds that go by, and waiting for them.
    """

    def __init__(
        self, rate: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._full = self._rate = rate
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._halved = float("-inf")
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Wait for the next turn."""
        with self._lock:
            now = self._clock()
            at = max(self._next, now)
            self._next = at + 1 / self._rate
        if at > now:
            self._sleep(at - now)

    def taken(self) -> None:
        """A call went through."""
        with self._lock:
            self._rate = min(self._full, self._rate + RECOVERY * self._full)

    def throttled(self) -> None:
        """A call was refused as one too many."""
        with self._lock:
            now = self._clock()
            if now - self._halved >= ONE_BURST:
                self._halved = now
                self._rate = max(SLOWEST * self._full, self._rate / 2)
