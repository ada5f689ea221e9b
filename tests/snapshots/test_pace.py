"""Promises about the pace of calls to one Region, by a clock that only waiting moves on."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.snapshots.pace import ONE_BURST, RECOVERY, SLOWEST, Pace

RATE = 10.0


class Time:
    """Goes on by what is slept."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pace(time: Time) -> Pace:
    return Pace(RATE, clock=time, sleep=time.sleep)


def interval(paced: Pace, time: Time) -> float:
    """Seconds between two turns."""
    paced.turn()
    before = time.now
    paced.turn()
    return time.now - before


def throttle(paced: Pace, time: Time, times: int) -> None:
    """So many throttles, each a while after the one before."""
    for _ in range(times):
        paced.throttled()
        time.sleep(ONE_BURST)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_turns_never_come_faster_than_the_rate(pauses: list[float]) -> None:
    """Whatever the pauses between the calls: nothing that was not used is saved up for a burst."""
    time = Time()
    paced = pace(time)
    turns = []
    for pause in pauses:
        time.sleep(pause)
        paced.turn()
        turns.append(time.now)
    assert all(later - earlier >= 1 / RATE - 1e-9 for earlier, later in itertools.pairwise(turns))


def test_a_caller_that_is_slower_than_the_rate_never_waits() -> None:
    """The pace is a limit, not a rhythm."""
    time = Time()
    paced = pace(time)
    for _ in range(5):
        time.sleep(1)
        before = time.now
        paced.turn()
        assert time.now == before


def test_a_throttle_halves_the_pace() -> None:
    """And the next one halves it again, down to the slowest, at which it stays."""
    time = Time()
    paced = pace(time)
    throttle(paced, time, 1)
    assert interval(paced, time) == pytest.approx(2 / RATE)
    throttle(paced, time, 1)
    assert interval(paced, time) == pytest.approx(4 / RATE)
    throttle(paced, time, 100)
    assert interval(paced, time) == pytest.approx(1 / (RATE * SLOWEST))


def test_throttles_that_come_together_count_once() -> None:
    """They answer calls that were under way at once: thirty of them do not mean that the Region takes next to nothing."""
    time = Time()
    paced = pace(time)
    for _ in range(30):
        paced.throttled()
    assert interval(paced, time) == pytest.approx(2 / RATE)


def test_calls_that_are_taken_bring_the_pace_back() -> None:
    """All of it from the slowest, and never more than the full one."""
    time = Time()
    paced = pace(time)
    throttle(paced, time, 100)
    slowest = interval(paced, time)
    paced.taken()
    assert interval(paced, time) < slowest
    for _ in range(round(1 / RECOVERY)):
        paced.taken()
    assert interval(paced, time) == pytest.approx(1 / RATE)


def test_threads_share_one_pace() -> None:
    """Each turn is handed out once, whoever asks: the waits of many threads are those of one line."""
    waits: list[float] = []
    paced = Pace(RATE, clock=lambda: 0.0, sleep=waits.append)
    threads = [threading.Thread(target=lambda: [paced.turn() for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([number / RATE for number in range(1, 200)])
