"""Promises about the model of publications: what it simulates is what the product's own numbers say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.model import GIB, PUBLISHERS, Assumptions, Load, awspub, copy, direct, simulate
from benchmarks.simulation import Bucket, Process, Simulation, Slots
from chalicelib.snapshots import writer


def test_time_passes_only_by_waiting() -> None:
    """Processes side by side end when the longest does, and so many at once take turns."""
    simulation = Simulation()

    def wait(seconds: float) -> Process:
        yield seconds

    simulation.spawn(simulation.all([wait(seconds) for seconds in (1, 2, 3)], at_once=3))
    assert simulation.run() == 3
    simulation.spawn(simulation.all([wait(2) for _ in range(4)], at_once=2))
    assert simulation.run() == 3 + 4


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    """Whoever comes when it is empty waits in line."""
    bucket = Bucket(Simulation(), size=2, refill=4)
    assert [bucket.wait() for _ in range(4)] == [0, 0, 0.25, 0.5]


def test_slots_are_given_back() -> None:
    """So many at once, no more."""
    slots = Slots(1)
    assert slots.take()
    assert not slots.take()
    slots.give_back()
    assert slots.take()


@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_the_model_gives_the_same_each_time(publisher: str) -> None:
    """A figure of the report can be made again."""
    load = Load(regions=7, builds=3)
    assert simulate(PUBLISHERS[publisher], load) == simulate(PUBLISHERS[publisher], load)


def test_nobody_is_faster_than_what_it_waits_for() -> None:
    """Copies take as long as the slowest; a direct publication at least as its snapshot and AMI."""
    assumed, load = Assumptions(), Load(regions=10)
    slowest = assumed.copy[1]
    assert simulate(awspub, load).seconds > assumed.import_snapshot + slowest
    assert simulate(copy, load).seconds > assumed.snapshot_complete + assumed.register + slowest
    assert simulate(direct, load).seconds > assumed.snapshot_complete + assumed.register


@pytest.mark.parametrize("builds", [1, 10])
def test_no_region_takes_blocks_beyond_its_limit(builds: int) -> None:
    """However many builds are published at once."""
    assert simulate(direct, Load(regions=5, builds=builds)).puts_per_second <= writer.PUTS_PER_SECOND


def test_blocks_that_did_not_change_cost_no_time() -> None:
    """The more of an image is new, the longer its writing takes."""
    seconds = [simulate(direct, Load(regions=40, changed=share)).seconds for share in (0.05, 0.5, 1)]
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[2]


def test_the_quota_of_public_images_leaves_the_rest_private() -> None:
    """Five a Region, and each AMI beyond is counted."""
    assumed = replace(Assumptions(), public_images=5)
    for publisher in (direct, copy, awspub):
        assert simulate(publisher, Load(regions=3, builds=7, disk_bytes=GIB), assumed).refused == 2 * 3


def test_all_builds_come_through_at_once() -> None:
    """None is starved: each has its end."""
    outcome = simulate(direct, Load(regions=5, builds=10))
    assert len(outcome.ended) == 10
    assert outcome.ended == sorted(outcome.ended)
