"""Promises about the way on which each Region comes to its AMI."""

from __future__ import annotations

import pytest

from chalicelib import policy
from chalicelib.index.records import Method, Publication
from chalicelib.policy import Policies, StreamPolicy
from chalicelib.rollout import regions
from tests.index.values import BUILD, record

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "ap-south-1"
ALL = [AWAY, FAR, HOME]


def begun(region: str, method: Method | None) -> Publication:
    return Publication(BUILD, region, updated="2026-11-20T09:00:00Z", method=method)


@pytest.fixture
def strategy(monkeypatch: pytest.MonkeyPatch) -> dict[str, StreamPolicy]:
    """The policies of the streams, to be filled in."""
    streams: dict[str, StreamPolicy] = {}
    monkeypatch.setattr(policy, "_policies", lambda: Policies(streams=streams))
    return streams


def ways(*publications: Publication) -> tuple[list[str], list[str]]:
    return regions.ways(ALL, HOME, publications, record())


@pytest.mark.usefixtures("strategy")
def test_blocks_are_written_everywhere_unless_a_stream_says_otherwise() -> None:
    """A Region on which nothing has begun, and one that was never planned before."""
    assert ways(begun(AWAY, None)) == (ALL, [])


def test_a_stream_that_copies_is_written_at_home_alone(strategy: dict[str, StreamPolicy]) -> None:
    """Home has nowhere to copy from."""
    strategy["daily"] = StreamPolicy(strategy="copy")
    assert ways() == ([HOME], [AWAY, FAR])
    assert regions.ways([AWAY], HOME, [], record()) == ([], [AWAY])


@pytest.mark.parametrize("stream", ["direct", "copy"])
def test_a_region_goes_on_the_way_that_it_has_begun(strategy: dict[str, StreamPolicy], stream: str) -> None:
    """One that fell back to copying is not written again by a retry; one that is half written is, after a change of policy."""
    strategy["daily"] = StreamPolicy(strategy=stream)
    assert ways(begun(AWAY, Method.COPY), begun(FAR, Method.WRITE), begun(HOME, Method.WRITE)) == ([FAR, HOME], [AWAY])


@pytest.mark.usefixtures("strategy")
def test_home_is_written_whatever_the_index_says() -> None:
    """There must be one Region that the others can copy from."""
    assert ways(begun(HOME, Method.COPY)) == (ALL, [])


def test_every_region_goes_one_way(strategy: dict[str, StreamPolicy]) -> None:
    """None is forgotten and none goes both."""
    strategy["daily"] = StreamPolicy(strategy="copy")
    written, copied = ways(begun(AWAY, Method.WRITE), begun(FAR, None))
    assert sorted(written + copied) == sorted(ALL)
