"""DescribeRegions, and which Regions answer at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.lab import Lab, refused

REGIONS = (
    {"name": "us-east-1"},
    {"name": "ap-east-1", "opt_in": "opted-in"},
    {"name": "me-south-1", "opt_in": "not-opted-in"},
)


@pytest.fixture
def three(lab: Lab, tmp_path: Path) -> Lab:  # noqa: ARG001 - lab's mock is needed
    return Lab(tmp_path / "three", regions=REGIONS)


def names(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [region["RegionName"] for region in answer["Regions"]]


def test_only_enabled_regions_are_listed(three: Lab) -> None:
    """A Region that is not opted in is left out."""
    assert names(three.ec2().describe_regions()) == ["us-east-1", "ap-east-1"]


def test_all_regions_come_with_their_opt_in_status(three: Lab) -> None:
    """AllRegions tells of each whether it can be used."""
    regions = three.ec2().describe_regions(AllRegions=True)["Regions"]
    assert {it["RegionName"]: it["OptInStatus"] for it in regions} == {
        "us-east-1": "opt-in-not-required",
        "ap-east-1": "opted-in",
        "me-south-1": "not-opted-in",
    }


def test_regions_are_found_by_name_and_by_filter(three: Lab) -> None:
    """A named one is shown even when it is not enabled; filters narrow what is listed."""
    assert names(three.ec2().describe_regions(RegionNames=["me-south-1"])) == ["me-south-1"]
    filters = [{"Name": "opt-in-status", "Values": ["not-opted-in", "opted-in"]}]
    assert names(three.ec2().describe_regions(AllRegions=True, Filters=filters)) == ["ap-east-1", "me-south-1"]
    with refused("InvalidParameterValue"):
        three.ec2().describe_regions(RegionNames=["moon-1"])


def test_a_region_is_open_when_it_exists_and_is_enabled(three: Lab) -> None:
    """Calls to the others are to be refused."""
    assert [three.world.region_open(name) for name in ("us-east-1", "ap-east-1", "me-south-1", "moon-1")] == [
        True,
        True,
        False,
        False,
    ]
