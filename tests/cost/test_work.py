"""The estimate of what functions, state machines, S3 and the index take for one build."""

from __future__ import annotations

import pytest

from broadside.cost import Prices
from broadside.cost.work import Work, work_at_home

PRICES = Prices.builtin().home


def test_a_first_build_of_eight_gib_by_hand() -> None:
    """In 34 Regions: 36 times 8 GiB through functions of 1769 MB at 75 MB a second, 249 shards, 244 small functions."""
    work = work_at_home(image_blocks=16_384, written=34 * 16_384, regions=34, copied=0)
    seconds = 36 * 8 * (1 << 30) / 75e6
    assert work.gib_seconds == pytest.approx(seconds * 1769 / 1024 + 244 * 0.25)
    assert work.invocations == 1 + 249 + 244
    assert work.transitions == 12 + 8 * 34 + 3 * 136 + 2 * 249
    assert (work.puts, work.gets) == (249, 498)


def test_copies_are_waited_for_and_not_written() -> None:
    """A copy takes no worker's time, but forty looks."""
    direct = work_at_home(image_blocks=16_384, written=2 * 16_384, regions=2, copied=0)
    copied = work_at_home(image_blocks=16_384, written=16_384, regions=2, copied=1)
    assert copied.gib_seconds < direct.gib_seconds
    assert copied.transitions - direct.transitions == 3 * (40 - 4)


def test_each_thing_has_its_price() -> None:
    """By hand, one price after the other: a thousand of what is charged by the thousand, a million of the rest."""
    nothing = dict.fromkeys(("gib_seconds", "invocations", "transitions", "puts", "gets", "reads", "writes"), 0)
    for name, count, dollars in [
        ("gib_seconds", 1_000_000, 16.6667),
        ("invocations", 1_000_000, 0.20),
        ("transitions", 1000, 0.025),
        ("puts", 1000, 0.005),
        ("gets", 1000, 0.0004),
        ("reads", 1_000_000, 0.125),
        ("writes", 1_000_000, 0.625),
    ]:
        assert Work(**{**nothing, name: count}).dollars(PRICES) == pytest.approx(dollars)
