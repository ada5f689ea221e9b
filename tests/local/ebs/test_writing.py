"""PutSnapshotBlock and CompleteSnapshot."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from broadside.local.ebs.blocks import ZEROS
from tests.local.lab import Lab, block, checksum, refused

LINEAR = {"ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"}


def linear(*blocks: bytes) -> str:
    """The aggregate over the blocks, in this order."""
    return checksum(b"".join(hashlib.sha256(data).digest() for data in blocks))


@pytest.fixture
def snapshot_id(lab: Lab) -> str:
    """A snapshot of 2,048 blocks that takes blocks."""
    started: str = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    return started


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": b"short"},
        {"data": bytes(524_289)},
        {"DataLength": 512},
        {"Checksum": checksum(b"something else")},
        {"Checksum": "not base64!"},
        {"ChecksumAlgorithm": "MD5"},
        {"index": 2048},
    ],
    ids=["short", "long", "declared length", "checksum of other data", "no checksum at all", "algorithm", "index"],
)
def test_a_block_that_is_not_right_is_refused(lab: Lab, snapshot_id: str, wrong: dict[str, Any]) -> None:
    """Length, checksum, algorithm and index are all checked, and nothing is written."""
    data, index = wrong.pop("data", block("a")), wrong.pop("index", 0)
    with refused("ValidationException", status=400):
        lab.put(snapshot_id, index, data, **wrong)
    lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)


def test_the_last_block_of_the_volume_is_taken(lab: Lab, snapshot_id: str) -> None:
    """A volume of 1 GiB has blocks 0 to 2,047; the answer tells the checksum."""
    assert lab.put(snapshot_id, 2047, block("a"))["Checksum"] == checksum(block("a"))


def test_a_block_written_twice_counts_once_and_the_last_one_stays(lab: Lab, snapshot_id: str) -> None:
    """Writing is idempotent: a retry changes nothing, other data replaces."""
    for data in (block("a"), block("a"), block("b")):
        lab.put(snapshot_id, 7, data)
    lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=1)
    assert lab.content(snapshot_id) == {7: block("b")}


def test_a_block_of_zeros_is_a_block(lab: Lab, snapshot_id: str) -> None:
    """It is counted, listed and read like any other, even when it replaces data."""
    lab.put(snapshot_id, 0, block("a"))
    lab.put(snapshot_id, 0, ZEROS)
    lab.put(snapshot_id, 5, ZEROS)
    lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=2)
    assert lab.content(snapshot_id) == {0: ZEROS, 5: ZEROS}


@pytest.mark.parametrize("count", [1, 3])
def test_the_count_of_changed_blocks_must_be_right(lab: Lab, snapshot_id: str, count: int) -> None:
    """A wrong count is refused, and the right one is still taken afterwards."""
    lab.put(snapshot_id, 0, block("a"))
    lab.put(snapshot_id, 1, block("b"))
    with refused("ValidationException", status=400):
        lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=count)
    lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=2)


def test_the_linear_checksum_goes_by_index_not_by_arrival(lab: Lab, snapshot_id: str) -> None:
    """SHA-256 over the blocks' digests in the order of their index."""
    lab.put(snapshot_id, 9, block("late"))
    lab.put(snapshot_id, 2, block("early"))
    done = lab.ebs().complete_snapshot(
        SnapshotId=snapshot_id, ChangedBlocksCount=2, Checksum=linear(block("early"), block("late")), **LINEAR
    )
    assert done["Status"] == "completed"


def test_a_wrong_aggregate_is_refused(lab: Lab, snapshot_id: str) -> None:
    """Such as one in the order of arrival, or one whose method is not told."""
    lab.put(snapshot_id, 9, block("late"))
    lab.put(snapshot_id, 2, block("early"))
    wrong = linear(block("late"), block("early"))
    with refused("ValidationException"):
        lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=2, Checksum=wrong, **LINEAR)
    right = linear(block("early"), block("late"))
    with refused("ValidationException"):
        lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=2, Checksum=right)


def test_a_sealed_snapshot_takes_no_more_blocks(lab: Lab, tmp_path: Path) -> None:
    """Neither while it is still pending nor once it is completed."""
    lab = Lab(tmp_path / "slow", snapshot_complete_seconds=60)
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    assert lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)["Status"] == "pending"
    with refused("ValidationException"):
        lab.put(snapshot_id, 0, block("a"))
    lab.wait(61)
    assert lab.show_snapshot(snapshot_id)["State"] == "completed"
    with refused("ValidationException"):
        lab.put(snapshot_id, 0, block("a"))


def test_completing_again_changes_nothing(lab: Lab, snapshot_id: str) -> None:
    """A repeated call with the same count is answered, one with another count is not."""
    for _ in range(2):
        assert lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)["Status"] == "completed"
    with refused("ValidationException"):
        lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=1)


def test_the_answer_carries_the_checksum_that_ebs_computed(lab: Lab, snapshot_id: str) -> None:
    """Base64 of the SHA-256, as sent."""
    answer = lab.put(snapshot_id, 0, block("a"))
    assert base64.b64decode(answer["Checksum"]) == hashlib.sha256(block("a")).digest()
    assert answer["ChecksumAlgorithm"] == "SHA256"
