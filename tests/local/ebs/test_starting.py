"""StartSnapshot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.lab import AWAY, HOME, STRANGER, Lab, block, refused


def test_a_started_snapshot_is_pending_for_ebs_and_for_ec2(lab: Lab) -> None:
    """Both services show one snapshot: its size, owner, description and tags."""
    tags = [{"Key": "build", "Value": "1"}]
    started = lab.ebs().start_snapshot(VolumeSize=8, Description="root", Tags=tags)
    assert (started["Status"], started["VolumeSize"], started["BlockSize"]) == ("pending", 8, 524_288)
    shown = lab.show_snapshot(started["SnapshotId"])
    assert (shown["State"], shown["VolumeSize"], shown["Description"], shown["Tags"]) == ("pending", 8, "root", tags)
    assert shown["OwnerId"] == started["OwnerId"]


def test_the_same_token_starts_one_snapshot(lab: Lab) -> None:
    """A repeated request gets the first one's response."""
    asked = {"VolumeSize": 1, "ClientToken": "once"}
    assert lab.ebs().start_snapshot(**asked)["SnapshotId"] == lab.ebs().start_snapshot(**asked)["SnapshotId"]
    assert len(lab.ec2().describe_snapshots(OwnerIds=["self"])["Snapshots"]) == 1


def test_the_token_of_another_region_is_another_token(lab: Lab) -> None:
    """Idempotency is a Region's own."""
    asked = {"VolumeSize": 1, "ClientToken": "once"}
    here, there = (lab.ebs(region).start_snapshot(**asked)["SnapshotId"] for region in (HOME, AWAY))
    assert here != there


def test_a_token_with_other_parameters_is_a_conflict(lab: Lab) -> None:
    """ConflictException, HTTP 409."""
    lab.ebs().start_snapshot(VolumeSize=1, ClientToken="once")
    with refused("ConflictException", status=409):
        lab.ebs().start_snapshot(VolumeSize=2, ClientToken="once")


def test_a_token_stays_spent_when_its_snapshot_is_gone(lab: Lab) -> None:
    """The old answer comes again, though its snapshot was deleted: an attempt needs a token of its own."""
    asked = {"VolumeSize": 1, "ClientToken": "once"}
    snapshot_id = lab.ebs().start_snapshot(**asked)["SnapshotId"]
    lab.ec2().delete_snapshot(SnapshotId=snapshot_id)
    assert lab.ebs().start_snapshot(**asked)["SnapshotId"] == snapshot_id
    with refused("ResourceNotFoundException", reason="SNAPSHOT_NOT_FOUND", status=404):
        lab.put(snapshot_id, 0, block("a"))


@pytest.mark.parametrize("wrong", [{"VolumeSize": 0}, {"VolumeSize": 65_537}])
def test_a_volume_has_1_to_65536_gib(lab: Lab, wrong: dict[str, int]) -> None:
    """Other sizes are refused."""
    with refused("ValidationException", reason="INVALID_VOLUME_SIZE", status=400):
        lab.ebs().start_snapshot(**wrong)


@pytest.mark.parametrize("minutes", [9, 4321])
def test_a_timeout_is_10_to_4320_minutes(lab: Lab, minutes: int) -> None:
    """Other time-outs are refused."""
    with refused("ValidationException"):
        lab.ebs().start_snapshot(VolumeSize=1, Timeout=minutes)


def test_a_snapshot_that_gets_no_block_in_time_turns_to_error(lab: Lab) -> None:
    """Every block postpones the end; after it, neither blocks nor completion are taken."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1, Timeout=10)["SnapshotId"]
    lab.wait(9 * 60)
    lab.put(snapshot_id, 0, block("a"))
    lab.wait(9 * 60)
    assert lab.show_snapshot(snapshot_id)["State"] == "pending"
    lab.wait(2 * 60)
    assert lab.show_snapshot(snapshot_id)["State"] == "error"
    with refused("ValidationException"):
        lab.put(snapshot_id, 1, block("a"))
    with refused("ValidationException"):
        lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=1)


def test_a_parent_excludes_encrypted(lab: Lab) -> None:
    """The encryption is the parent's."""
    with refused("ValidationException"):
        lab.ebs().start_snapshot(VolumeSize=1, ParentSnapshotId=lab.snapshot(), Encrypted=True)


def test_a_parent_is_a_completed_snapshot_that_is_not_larger(lab: Lab) -> None:
    """An unknown, a pending and a larger parent are refused."""
    with refused("ResourceNotFoundException", reason="SNAPSHOT_NOT_FOUND", status=404):
        lab.ebs().start_snapshot(VolumeSize=1, ParentSnapshotId="snap-01234567")
    pending = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("ValidationException", reason="INVALID_SNAPSHOT_ID"):
        lab.ebs().start_snapshot(VolumeSize=1, ParentSnapshotId=pending)
    with refused("ValidationException", reason="INVALID_VOLUME_SIZE"):
        lab.ebs().start_snapshot(VolumeSize=1, ParentSnapshotId=lab.snapshot(size=2))


def test_too_many_pending_snapshots_are_over_the_quota(tmp_path: Path, lab: Lab) -> None:
    """HTTP 402; a completed one makes room."""
    lab = Lab(tmp_path / "tight", pending_snapshots_quota=1)
    first = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("ServiceQuotaExceededException", status=402):
        lab.ebs().start_snapshot(VolumeSize=1)
    lab.ebs().complete_snapshot(SnapshotId=first, ChangedBlocksCount=0)
    lab.ebs().start_snapshot(VolumeSize=1)


def test_anothers_snapshot_is_not_written(lab: Lab) -> None:
    """AccessDeniedException, HTTP 403."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("AccessDeniedException", reason="UNAUTHORIZED_ACCOUNT", status=403):
        lab.ebs(account=STRANGER).complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"Tags": [{"Key": "aws:mine", "Value": "x"}]}, "INVALID_TAG"),
        ({"Tags": [{"Key": "k", "Value": "v" * 256}]}, "INVALID_TAG"),
        ({"Tags": [{"Key": f"k{it}", "Value": ""} for it in range(51)]}, "INVALID_TAG"),
        ({"Description": "x" * 256}, "INVALID_PARAMETER_VALUE"),
        ({"ClientToken": "x" * 65}, "INVALID_PARAMETER_VALUE"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1"}, "INVALID_CUSTOMER_KEY"),
    ],
    ids=["reserved tag", "long tag", "many tags", "description", "token", "key without encryption"],
)
def test_words_that_are_too_long_or_not_allowed_are_refused(lab: Lab, wrong: dict[str, object], reason: str) -> None:
    """ValidationException with the reason."""
    with refused("ValidationException", reason=reason):
        lab.ebs().start_snapshot(VolumeSize=1, **wrong)
