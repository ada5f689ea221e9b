"""A few threads that do things later: at a time of the cloud's clock, in the order of their times."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

Errand = Callable[[], None]


class Courier:
    """Runs errands.  ``now`` is the cloud's clock; ``scale`` says how many of its seconds go by in a real one."""

    def __init__(self, now: Callable[[], float], scale: float, threads: int = 32) -> None:
        self._now = now
        self._scale = scale
        self._due: list[tuple[float, int, Errand]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="errand")
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def later(self, seconds: float, errand: Errand) -> None:
        """Do ``errand`` after so many of the cloud's seconds."""
        with self._changed:
            heapq.heappush(self._due, (self._now() + seconds, next(self._order), errand))
            self._changed.notify()

    def every(self, seconds: float, errand: Errand) -> None:
        """Do ``errand`` every so many of the cloud's seconds, the first time after one such period."""

        def again() -> None:
            self.later(seconds, again)
            errand()

        self.later(seconds, again)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > self._now()):
                    self._changed.wait((self._due[0][0] - self._now()) / self._scale if self._due else None)
                if self._closed:
                    return
                errand = heapq.heappop(self._due)[2]
                self._pool.submit(self._carry_out, errand)

    @staticmethod
    def _carry_out(errand: Errand) -> None:
        try:
            errand()
        except Exception:
            log.exception("Something that should have happened by itself went wrong.")

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._pool.shutdown(wait=False, cancel_futures=True)
