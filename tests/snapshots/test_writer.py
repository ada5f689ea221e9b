"""Promises about writing one shard into many Regions at once, some of them in trouble."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.errors import CloudBusy, CloudError, CloudRefused, CloudSilent
from chalicelib.snapshots import writer
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard, cut, digests
from tests.snapshots.bench import disk

BLOCKS = cut(disk("a", "b", "", "d", "e", "f"))
DIGESTS = digests(BLOCKS)
SHARD = Shard(100, len(BLOCKS))
ALL = range(len(BLOCKS))


class Region:
    """An EBS that takes blocks, unless ``trouble`` says otherwise of a call."""

    def __init__(self, name: str = "r", trouble: Callable[[int, int], CloudError | None] | None = None) -> None:
        self.region = name
        self.trouble = trouble
        self.asked: list[int] = []
        self.taken: dict[int, int] = {}
        self._lock = threading.Lock()

    def put_snapshot_block(self, **call: Any) -> None:
        index, data = call["BlockIndex"], call["BlockData"]
        assert base64.b64decode(call["Checksum"]) == hashlib.sha256(data).digest()
        assert (len(data), call["DataLength"], call["ChecksumAlgorithm"]) == (BLOCK_SIZE, BLOCK_SIZE, "SHA256")
        assert data == BLOCKS[index - SHARD.start]
        with self._lock:
            self.asked.append(index)
            tried = self.asked.count(index)
        if self.trouble is not None and (error := self.trouble(index, tried)) is not None:
            raise error
        with self._lock:
            self.taken[index] = self.taken.get(index, 0) + 1

    @property
    def complete(self) -> bool:
        """Whether the whole shard is there, no block more than once."""
        return self.taken == {SHARD.start + position: 1 for position in ALL}


def throttle(_index: int = 0, _tried: int = 0) -> CloudError:
    return CloudBusy("ebs answered RequestThrottledException", code="RequestThrottledException")


def write(regions: Sequence[Region], positions: Sequence[int] = ALL) -> list[CloudError | None]:
    """Write the shard everywhere; what became of it in each Region."""
    targets = [writer.Target(each, f"snap-{number}", positions) for number, each in enumerate(regions)]  # type: ignore[arg-type]  # a stand-in
    outcome = writer.write(targets, SHARD, BLOCKS, DIGESTS)
    return [outcome[f"snap-{number}"] for number in range(len(regions))]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of a block come at once, and nobody is waited for long."""
    monkeypatch.setattr(writer.random, "uniform", lambda _least, _most: 0)
    monkeypatch.setattr(writer, "PATIENCE", 0.2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.sampled_from(ALL)), min_size=1, max_size=5))
def test_each_region_gets_exactly_the_blocks_it_needs(positions: list[set[int]]) -> None:
    """Each of them once, and none besides: also where it is none at all."""
    regions = [Region() for _ in positions]
    targets = [
        writer.Target(region, f"snap-{number}", sorted(needed))  # type: ignore[arg-type]  # a stand-in
        for number, (region, needed) in enumerate(zip(regions, positions, strict=True))
    ]
    outcome = writer.write(targets, SHARD, BLOCKS, DIGESTS)
    assert outcome == dict.fromkeys(outcome)
    for region, needed in zip(regions, positions, strict=True):
        assert region.taken == {SHARD.start + position: 1 for position in needed}


def test_a_throttled_block_does_not_cost_its_shard() -> None:
    """Each block is tried again by itself, and what was written is not written again."""
    region = Region(trouble=lambda _index, tried: throttle() if tried < writer.TRIES else None)
    assert write([region]) == [None]
    assert region.complete


def test_a_region_that_throttles_for_good_is_reported_alone() -> None:
    """The others are complete, and each block was tried a bounded number of times."""
    good, bad, other = Region("good"), Region("bad", throttle), Region("other")
    outcome = write([good, bad, other])
    assert (outcome[0], outcome[2]) == (None, None)
    assert isinstance(outcome[1], CloudBusy)
    assert good.complete
    assert other.complete
    assert bad.taken == {}
    assert all(bad.asked.count(index) <= writer.TRIES for index in bad.asked)


def test_a_region_that_waits_for_its_turn_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is throttled has to wait long for each call: when the others are through it is woken, and left behind."""
    monkeypatch.setattr(writer.random, "uniform", lambda _least, _most: 3600)
    good, bad = Region("good"), Region("bad", throttle)
    outcome = write([good, bad])
    assert good.complete
    assert isinstance(outcome[1], CloudBusy)
    assert outcome[1].code == "Behind"


def test_a_refusal_ends_the_region_at_once() -> None:
    """What no repetition mends is not repeated: each connection asks once at the most."""
    bad = Region(
        "bad", lambda _index, _tried: CloudRefused("ebs answered AccessDeniedException", code="AccessDeniedException")
    )
    good = Region("good")
    outcome = write([bad, good])
    assert isinstance(outcome[0], CloudRefused)
    assert outcome[1] is None
    assert good.complete
    assert len(bad.asked) == len(set(bad.asked))


def test_a_silent_region_is_not_asked_twice() -> None:
    """botocore has waited for it twice already: it is left behind, so that the others need not wait."""
    bad = Region("bad", lambda _index, _tried: CloudSilent("ebs got no answer", code="ReadTimeoutError"))
    good = Region("good")
    outcome = write([good, bad])
    assert outcome[0] is None
    assert isinstance(outcome[1], CloudSilent)
    assert len(bad.asked) == len(set(bad.asked))


def test_a_slow_region_is_left_behind_when_the_others_are_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins no other block then, and what it has taken so far does not count as complete."""
    monkeypatch.setattr(writer, "CONNECTIONS", 1)
    monkeypatch.setattr(writer, "PER_REGION", 1)
    slow = Region("slow", lambda _index, _tried: time.sleep(0.15))
    regions = [Region("one"), slow, Region("two")]
    outcome = write(regions)
    assert (outcome[0], outcome[2]) == (None, None)
    assert isinstance(outcome[1], CloudBusy)
    assert outcome[1].code == "Behind"
    assert "slow takes the blocks of snap-1 more slowly" in str(outcome[1])
    assert len(slow.asked) < len(BLOCKS)


def test_a_region_that_is_alone_has_all_the_time() -> None:
    """Nobody waits for it: a Region that catches up is not left behind by itself."""
    slow = Region("slow", lambda _index, _tried: time.sleep(0.1))
    assert write([slow]) == [None]
    assert slow.complete


def test_without_a_region_there_is_nothing_to_do() -> None:
    """A shard that only has to be read, for its digests."""
    assert writer.write([], SHARD, BLOCKS, DIGESTS) == {}


def test_few_regions_get_many_connections_and_many_get_a_few() -> None:
    """All of a function's where it is one Region; never less than a few."""
    assert writer.connections(1) == writer.CONNECTIONS
    assert writer.connections(34) == writer.PER_REGION
    assert all(writer.connections(regions) >= writer.connections(regions + 1) for regions in range(1, 40))
