"""Promises about writing a shard when EBS is busy."""

import hashlib
from typing import Any

import pytest

from chalicelib.errors import CloudBusy
from chalicelib.snapshots import writer
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard


class ThrottlingEbs:
    """Refuses each block ``times`` times before it takes it."""

    def __init__(self, times: int) -> None:
        self.left = dict.fromkeys(range(4), times)
        self.taken: list[int] = []

    def put_snapshot_block(self, **call: Any) -> None:
        index = call["BlockIndex"]
        if self.left[index]:
            self.left[index] -= 1
            raise CloudBusy("ebs:put_snapshot_block answered ThrottlingException", code="ThrottlingException")
        self.taken.append(index)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


def write(ebs: Any) -> bytes:
    return writer.write_shard(ebs, "snap-1", Shard(0, 4), [b"x" * (4 * BLOCK_SIZE)], skip_zeros=False)


def test_a_throttled_block_does_not_cost_its_shard() -> None:
    """Each block is tried again by itself, and written once."""
    ebs = ThrottlingEbs(writer.TRIES - 1)
    assert write(ebs) == hashlib.sha256(b"x" * BLOCK_SIZE).digest() * 4
    assert sorted(ebs.taken) == [0, 1, 2, 3]


def test_a_shard_that_is_throttled_for_good_is_left_to_the_state_machine() -> None:
    """The last refusal is what the step answers."""
    with pytest.raises(CloudBusy, match="ThrottlingException"):
        write(ThrottlingEbs(writer.TRIES))
