"""Promises about wave files: every Region goes out exactly once, or the file is refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import BadWaves
from chalicelib.index.records import Gate, Wave
from chalicelib.rollout.waves import AT_ONCE, CANARY, Plan

HOME = "us-east-1"
REGIONS = ("ap-south-1", "eu-central-1", "eu-north-1", "eu-west-1", "us-east-1", "us-west-2")
REST: dict[str, Any] = {"name": "rest", "regions": ["*"]}


def plan(*waves: dict[str, Any], **more: Any) -> Plan:
    return Plan.parse({"waves": list(waves), **more})


def assigned(*waves: dict[str, Any], regions: tuple[str, ...] = REGIONS, home: str = HOME) -> dict[str, tuple[str, ...]]:
    return {wave.name: wave.regions for wave in plan(*waves).assign(regions, home)}


def test_regions_are_taken_by_name_and_by_pattern() -> None:
    """By the first wave that names them."""
    found = assigned({"name": "canary", "regions": ["eu-north-1"]}, {"name": "eu", "regions": ["eu-*", "us-west-2"]}, REST)
    assert found == {
        "canary": ("eu-north-1",),
        "eu": ("eu-central-1", "eu-west-1", "us-west-2"),
        "rest": ("ap-south-1", "us-east-1"),
    }


def test_a_share_is_of_all_regions_and_counts_former_waves() -> None:
    """Half of six are three, of which one has gone already; fractions are rounded up."""
    found = assigned(
        {"name": "canary", "regions": ["us-west-2"]}, {"name": "half", "share": "50%"}, {"name": "all", "share": "100%"}
    )
    assert [len(regions) for regions in found.values()] == [1, 2, 3]
    assert [len(regions) for regions in assigned({"name": "some", "share": "51%"}, REST).values()] == [4, 2]


def test_home_goes_last_where_shares_are_taken() -> None:
    """Whatever its name; the others go in alphabetical order."""
    found = assigned({"name": "most", "share": "80%"}, REST, home="ap-south-1")
    assert found == {"most": ("eu-central-1", "eu-north-1", "eu-west-1", "us-east-1", "us-west-2"), "rest": ("ap-south-1",)}


def test_a_canary_is_one_region_that_is_watched() -> None:
    """Never home where there is another; then the rest goes."""
    canary, rest = CANARY.assign(REGIONS, "ap-south-1")
    assert (canary.name, canary.regions, canary.bake) == ("canary", ("eu-central-1",), 1800)
    assert len(rest.regions) == 5
    assert [wave.regions for wave in CANARY.assign([HOME], HOME)] == [(HOME,)]


def test_at_once_is_one_wave() -> None:
    """Without a gate or a wait."""
    assert AT_ONCE.assign(REGIONS, HOME) == (Wave("all", REGIONS),)


def test_a_wave_that_no_region_is_left_for_is_left_out() -> None:
    """Nothing would be watched there; nor is there a wave where there is no Region."""
    assert list(assigned(REST, {"name": "more", "regions": ["eu-*"]}, {"name": "half", "share": "50%"})) == ["rest"]
    assert AT_ONCE.assign([], HOME) == ()


@given(st.sets(st.sampled_from(REGIONS)), st.lists(st.integers(1, 100), max_size=5), st.sampled_from(REGIONS))
def test_every_region_is_in_exactly_one_wave(regions: set[str], shares: list[int], home: str) -> None:
    """Whatever the shares; and home, if it goes, is in the last wave."""
    specs = [{"name": f"w{number}", "share": f"{share}%"} for number, share in enumerate(shares)]
    waves = plan({"name": "north", "regions": ["*-north-*"]}, *specs, REST).assign(regions, home)
    assert sorted(region for wave in waves for region in wave.regions) == sorted(regions)
    assert all(wave.regions for wave in waves)
    if home in regions - {"eu-north-1"}:
        assert home in waves[-1].regions


def test_times_gates_and_undo_come_from_the_file() -> None:
    """As a person writes them."""
    made = plan(
        {"name": "a", "regions": ["eu-*"], "bake": "30m", "gate": {"alarm": "web-errors"}},
        {"name": "b", "regions": ["ap-*"], "bake": "2h", "gate": {"function": "arn:aws:lambda:x"}},
        {"name": "c", "regions": ["us-west-2"], "bake": "1d", "gate": "approval"},
        {"name": "d", "regions": ["*"], "bake": "45s", "gate": "none"},
        undo="all",
    )
    waves = made.assign(REGIONS, HOME)
    assert [wave.bake for wave in waves] == [1800, 7200, 86400, 45]
    assert [wave.gate for wave in waves] == [
        Gate("alarm", "web-errors"),
        Gate("function", "arn:aws:lambda:x"),
        Gate("approval"),
        Gate(),
    ]
    assert (made.undo, plan(REST).undo) == ("all", "wave")


def test_a_file_that_forgets_a_region_is_refused() -> None:
    """With the Regions, and what to write."""
    with pytest.raises(BadWaves, match=r'^No wave has ap-south-1, us-west-2, us-east-1: .* Regions \["\*"\]\.$'):
        assigned({"name": "eu", "regions": ["eu-*"]})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "the whole"),
        ("waves", "the whole"),
        ({}, "waves"),
        ({"waves": []}, "waves"),
        ({"waves": [REST], "undo": "some"}, "undo"),
        ({"waves": [REST], "colour": "blue"}, "colour"),
        ({"waves": [{"name": "a"}]}, "waves.0: names either regions or a share"),
        ({"waves": [REST, {"name": "a", "regions": ["*"], "share": "5%"}]}, "waves.1: names either regions or a share"),
        ({"waves": [{"name": "A wave", "regions": ["*"]}]}, "waves.0.name"),
        ({"waves": [{"name": "a", "regions": "eu-*"}]}, "waves.0.regions"),
        ({"waves": [{"name": "a", "share": "0%"}]}, "waves.0.share: must be a share such as 25%"),
        ({"waves": [{"name": "a", "share": "101%"}]}, "waves.0.share: must be a share such as 25%"),
        ({"waves": [{"name": "a", "share": 25}]}, "waves.0.share: must be a share such as 25%"),
        ({"waves": [REST | {"bake": 30}]}, "waves.0.bake: must be a duration such as 30m, 2h or 1d"),
        ({"waves": [REST | {"bake": "30 minutes"}]}, "waves.0.bake: must be a duration such as 30m, 2h or 1d"),
        ({"waves": [REST | {"gate": "alarm"}]}, "waves.0.gate: must be none, approval, {alarm: NAME} or {function: ARN}"),
        ({"waves": [REST | {"gate": {"alarm": ""}}]}, "waves.0.gate: must be none"),
        ({"waves": [REST | {"gate": {"alarm": "a", "function": "b"}}]}, "waves.0.gate: must be none"),
    ],
)
def test_a_bad_file_gives_one_sentence(value: Any, told: str) -> None:
    """It says in which file, where in it, and what is wrong."""
    with pytest.raises(BadWaves) as caught:
        Plan.parse(value, "waves.yaml")
    sentence = str(caught.value)
    assert sentence.startswith(f"waves.yaml: {told}")
    assert sentence.endswith(".")
    assert "\n" not in sentence
