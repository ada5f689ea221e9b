"""Promises about how figures are taken and told."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import profile, publication, results
from benchmarks.report import table
from broadside.local.behaviour import parse
from chalicelib.snapshots.blocks import BLOCK_SIZE


def call(action: str, second: int, status: int = 200) -> dict[str, Any]:
    return {"action": action, "time": f"2026-11-20T12:00:{second:02}.000Z", "status": status}


def test_times_count_from_the_upload_in_the_clouds_seconds() -> None:
    """Of each phase the first and the last call that was not refused; the last share is the end."""
    calls = [
        call("DescribeRegions", 1),
        call("PutObject", 2),
        call("PutSnapshotBlock", 4),
        call("PutSnapshotBlock", 6),
        call("PutSnapshotBlock", 9, status=400),
        call("ModifyImageAttribute", 12),
    ]
    found = publication.summarise(calls, scale=10)
    assert found["seconds"] == 100
    assert found["phases"]["PutSnapshotBlock"] == [20, 40]
    assert found["calls"]["PutSnapshotBlock"] == 3


def test_copies_take_from_ten_to_thirty_minutes() -> None:
    """Spread over the Regions, home left out."""
    regions = profile.enabled_regions()
    seconds = profile.copy_seconds(regions)
    assert set(seconds) == set(regions) - {profile.HOME}
    assert (min(seconds.values()), max(seconds.values())) == profile.COPY_SECONDS


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_a_scaled_cloud_is_a_shorter_one(scale: float) -> None:
    """Its behaviour is one that the embedded cloud takes, with calls that are as much quicker as its clock."""
    behaviour = parse(profile.realistic(profile.enabled_regions()[:5], scale))
    assert behaviour.latency["ec2:*"] * scale == pytest.approx(0.15)
    assert behaviour.import_seconds == profile.IMPORT_SECONDS


def test_results_keep_four_digits(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a new run changes what changed."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.save("some", {"each": [1.23456789, {"deep": 98765.4}], "count": BLOCK_SIZE})
    assert results.load("some") == {"each": [1.235, {"deep": 98770.0}], "count": BLOCK_SIZE}
    assert results.load("none") is None


def test_a_table_is_markdown() -> None:
    """A head, a rule, the rows."""
    assert table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"
