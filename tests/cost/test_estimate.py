"""What a build costs, from counts of blocks alone; the expected figures are worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadside.cost import Demand, Prices, RegionBlocks, Strategy, estimate, mutating_calls, saving, unchained
from broadside.cost.prices import RegionOverride

HOME = "us-east-1"
PRICES = Prices.builtin()
#: 8 GiB and 2 GiB in blocks of 512 KiB.
EIGHT_GIB, TWO_GIB = 16_384, 4_096
GIB = 1 << 30


def demand(written: int, regions: int = 4, full: int = EIGHT_GIB) -> Demand:
    names = [HOME, *(f"eu-west-{number}" for number in range(1, regions))]
    return Demand(EIGHT_GIB, HOME, tuple(RegionBlocks(name, full, written) for name in names))


def test_a_first_build_costs_what_the_price_list_says() -> None:
    """By hand: 16,384 blocks at $0.006 a thousand, 8 GiB at $0.02 to send and at $0.05 a month to keep."""
    bill = estimate(demand(EIGHT_GIB), Strategy.DIRECT, PRICES)
    home, away = bill.regions[:2]
    assert home.calls["PutSnapshotBlock"] == away.calls["PutSnapshotBlock"] == 16_384
    assert (home.sent, away.sent, away.stored) == (0, 8 * GIB, 8 * GIB)
    assert home.once == pytest.approx(0.098304)
    assert away.once == pytest.approx(0.098304 + 0.16)
    assert away.monthly == pytest.approx(0.40)


def test_eight_gib_in_34_regions_by_hand() -> None:
    """Zeros written: 34 times $0.098304, 33 times $0.16, and 34 times $0.40 a month, whatever the disk holds."""
    bill = estimate(demand(EIGHT_GIB, 34), Strategy.DIRECT, PRICES)
    assert bill.calls["PutSnapshotBlock"] == 557_056
    assert bill.sent == 33 * 8 * GIB
    assert bill.once - bill.work == pytest.approx(3.342336 + 5.28)
    assert bill.monthly == pytest.approx(13.60)


def test_with_zeros_left_out_two_gib_of_data_cost_what_the_field_reports() -> None:
    """2 GiB of data kept in 34 Regions are about $3.40 a month; writing and sending them cost $0.84 and $1.32."""
    bill = estimate(demand(TWO_GIB, 34, TWO_GIB), Strategy.DIRECT, PRICES)
    assert bill.monthly == pytest.approx(3.40)
    assert bill.once - bill.work == pytest.approx(0.835584 + 1.32)


def test_a_copy_is_written_once_and_sent_in_full() -> None:
    """CopyImage writes no block away from home, but sends and stores the whole snapshot, whatever had changed."""
    bill = estimate(demand(820), Strategy.COPY, PRICES)
    home, away = bill.regions[:2]
    assert bill.calls["PutSnapshotBlock"] == home.calls["PutSnapshotBlock"] == 820
    assert (home.stored, away.stored, away.sent) == (820 << 19, 8 * GIB, 8 * GIB)
    assert away.once == pytest.approx(0.16)


def test_the_mutating_calls_of_a_region() -> None:
    """One snapshot, its blocks and one AMI where it is written, one copy where it is copied; both are shared."""
    shared = {"ModifyImageAttribute": 1, "ModifySnapshotAttribute": 1}
    wrote = {"StartSnapshot": 1, "PutSnapshotBlock": 7, "CompleteSnapshot": 1, "RegisterImage": 1, **shared}
    assert mutating_calls(Strategy.DIRECT, at_home=True, written=7) == wrote
    assert mutating_calls(Strategy.DIRECT, at_home=False, written=7) == wrote
    assert mutating_calls(Strategy.COPY, at_home=True, written=7) == wrote
    assert mutating_calls(Strategy.COPY, at_home=False, written=7) == {"CopyImage": 1, **shared}


def test_the_calls_of_a_build_are_those_of_its_regions() -> None:
    """The sum over Regions, by action."""
    calls = estimate(demand(7), Strategy.COPY, PRICES).calls
    assert calls == {
        "StartSnapshot": 1,
        "PutSnapshotBlock": 7,
        "CompleteSnapshot": 1,
        "RegisterImage": 1,
        "CopyImage": 3,
        "ModifyImageAttribute": 4,
        "ModifySnapshotAttribute": 4,
    }


def test_a_daily_pays_for_what_changed() -> None:
    """With 5 % of the blocks changed, blocks, bytes and their dollars are 5 % of a first build's in every Region."""
    daily, first = (estimate(each, Strategy.DIRECT, PRICES) for each in (demand(819), unchained(demand(819))))
    for now, before in zip(daily.regions, first.regions, strict=True):
        assert now.once == pytest.approx(before.once * 819 / EIGHT_GIB)
        assert now.monthly == pytest.approx(before.monthly * 819 / EIGHT_GIB)
        assert now.stored == 819 << 19


def test_chaining_saves_what_is_not_written() -> None:
    """By hand: 4 Regions times 15,360 blocks (7.5 GiB), of which three are sent; and a little of the functions' time."""
    saved = saving(demand(1024), PRICES)
    assert (saved.blocks, saved.stored, saved.sent) == (61_440, 30 * GIB, 45 * GIB // 2)
    assert saved.monthly == pytest.approx(1.50)
    assert saved.once == pytest.approx(61.44 * 0.006 + 22.5 * 0.02, rel=0.02)


def test_a_region_without_a_parent_saves_nothing() -> None:
    """Lineage is per Region: where a build was missed, the next one is written in full, and only there."""
    mixed = demand(1024)
    missed = replace(mixed, regions=(*mixed.regions[:3], replace(mixed.regions[3], written=EIGHT_GIB)))
    assert saving(missed, PRICES).blocks == 3 * (EIGHT_GIB - 1024)
    assert estimate(missed, Strategy.DIRECT, PRICES).regions[3].stored == 8 * GIB


def test_zeros_that_must_be_written_are_no_saving() -> None:
    """Where zeros are left out, a disk that was full and is empty now costs more chained than anew, and it is said so."""
    saved = saving(demand(4096, full=1), PRICES)
    assert saved.blocks < 0
    assert saved.once < 0


def test_regions_have_their_own_prices() -> None:
    """A Region's own price counts there; what it does not name is everybody's."""
    dear = PRICES.model_copy(update={"regions": {"eu-west-1": RegionOverride(snapshot_gib_month=1.0)}})
    usual, own = (estimate(demand(2048), Strategy.DIRECT, prices).regions for prices in (PRICES, dear))
    assert own[1].monthly == pytest.approx(1.0)
    assert own[1].once == usual[1].once
    assert own[2] == usual[2]


@given(st.integers(0, EIGHT_GIB), st.integers(1, 40))
def test_less_written_never_costs_more_and_more_regions_never_less(written: int, regions: int) -> None:
    """Chaining never costs more than a first build, and one Region more never costs less."""
    for strategy in Strategy:
        bill = estimate(demand(written, regions), strategy, PRICES)
        assert 0 < bill.work <= bill.once <= estimate(unchained(demand(written, regions)), strategy, PRICES).once
        assert bill.once <= estimate(demand(written, regions + 1), strategy, PRICES).once
