"""Snapshots as EC2 shows, shares, copies and deletes them."""

from __future__ import annotations

from pathlib import Path

from tests.local.lab import AWAY, HOME, STRANGER, Lab, block, refused, tagged


def test_a_snapshot_in_use_is_not_deleted(lab: Lab) -> None:
    """InvalidSnapshot.InUse until its image is deregistered."""
    image_id = lab.image()
    snapshot_id = lab.show(image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    with refused("InvalidSnapshot.InUse"):
        lab.ec2().delete_snapshot(SnapshotId=snapshot_id)
    lab.ec2().deregister_image(ImageId=image_id)
    lab.ec2().delete_snapshot(SnapshotId=snapshot_id)
    with refused("InvalidSnapshot.NotFound"):
        lab.ec2().delete_snapshot(SnapshotId=snapshot_id)


def test_an_id_that_is_none_is_malformed(lab: Lab) -> None:
    """InvalidSnapshotID.Malformed."""
    with refused("InvalidSnapshotID.Malformed"):
        lab.show_snapshot("snapshot")


def test_a_copy_is_pending_then_completed_with_the_content(lab: Lab, tmp_path: Path) -> None:
    """With the tags and the description of the request."""
    lab = Lab(tmp_path / "slow", copy_seconds=60)
    source = lab.snapshot(blocks={2: block("a")})
    answer = lab.ec2(AWAY).copy_snapshot(
        SourceRegion=HOME, SourceSnapshotId=source, Description="copied", TagSpecifications=[tagged("snapshot", a="b")]
    )
    assert answer["Tags"] == [{"Key": "a", "Value": "b"}]
    shown = lab.show_snapshot(answer["SnapshotId"], AWAY)
    assert (shown["State"], shown["Description"], shown["Tags"]) == ("pending", "copied", answer["Tags"])
    lab.wait(61)
    assert lab.show_snapshot(answer["SnapshotId"], AWAY)["State"] == "completed"
    assert lab.content(answer["SnapshotId"], AWAY) == {2: block("a")}


def test_only_a_completed_snapshot_is_copied(lab: Lab) -> None:
    """IncorrectState, or InvalidSnapshot.NotFound."""
    pending = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    with refused("IncorrectState"):
        lab.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=pending)
    with refused("InvalidSnapshot.NotFound"):
        lab.ec2(AWAY).copy_snapshot(SourceRegion=AWAY, SourceSnapshotId=pending)


def test_twenty_copies_run_at_once(lab: Lab, tmp_path: Path) -> None:
    """The next one is over the quota."""
    lab = Lab(tmp_path / "slow", copy_seconds=60)
    source = lab.snapshot()
    for _ in range(20):
        lab.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=source)
    with refused("ResourceLimitExceeded"):
        lab.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=source)


def test_volume_permissions_are_added_removed_and_reset(lab: Lab) -> None:
    """For accounts and for everybody; not added and removed in one call."""
    snapshot_id = lab.snapshot()
    api = lab.ec2()

    def permissions() -> list[dict[str, str]]:
        answer = api.describe_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission")
        shown: list[dict[str, str]] = answer["CreateVolumePermissions"]
        return shown

    both = [{"UserId": STRANGER}, {"Group": "all"}]
    api.modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Add": both})
    assert permissions() == both
    api.modify_snapshot_attribute(
        SnapshotId=snapshot_id, Attribute="createVolumePermission", OperationType="remove", GroupNames=["all"]
    )
    assert permissions() == both[:1]
    with refused("InvalidParameterCombination"):
        api.modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Add": both[1:], "Remove": both[:1]})
    api.reset_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission")
    assert permissions() == []


def test_blocked_public_access_keeps_snapshots_private(lab: Lab) -> None:
    """It is a setting of its own, apart from that of images."""
    snapshot_id = lab.snapshot()
    lab.ec2().enable_snapshot_block_public_access(State="block-new-sharing")
    everybody = {"Add": [{"Group": "all"}]}
    with refused("OperationNotPermitted"):
        lab.ec2().modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission=everybody)
    assert lab.ec2().get_snapshot_block_public_access_state()["State"] == "block-new-sharing"
    assert lab.ec2().disable_snapshot_block_public_access()["State"] == "unblocked"
    lab.ec2().modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission=everybody)


def test_a_stranger_sees_shared_snapshots_only(lab: Lab) -> None:
    """And cannot change them."""
    snapshot_id = lab.snapshot()
    stranger = lab.ec2(account=STRANGER)
    assert stranger.describe_snapshots()["Snapshots"] == []
    lab.ec2().modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission={"Add": [{"UserId": STRANGER}]})
    assert len(stranger.describe_snapshots(RestorableByUserIds=["self"])["Snapshots"]) == 1
    assert stranger.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    with refused("AuthFailure"):
        stranger.delete_snapshot(SnapshotId=snapshot_id)


def test_snapshots_are_found_by_filters(lab: Lab) -> None:
    """Status, size, tags, description."""
    tags = [{"Key": "build", "Value": "b1"}]
    first = lab.snapshot(size=2, Description="one", Tags=tags)
    second = lab.ebs().start_snapshot(VolumeSize=1, Description="two")["SnapshotId"]

    def found(name: str, value: str) -> list[str]:
        answer = lab.ec2().describe_snapshots(Filters=[{"Name": name, "Values": [value]}])
        return [it["SnapshotId"] for it in answer["Snapshots"]]

    assert found("status", "completed") == found("volume-size", "2") == found("tag:build", "b1") == [first]
    assert found("status", "pending") == found("description", "t*") == found("snapshot-id", second) == [second]
    with refused("InvalidParameterValue"):
        found("colour", "red")


def test_a_failed_copy_shows_as_error(lab: Lab, tmp_path: Path) -> None:
    """With the reason."""
    lab = Lab(tmp_path / "broken", failing_copies=(AWAY,))
    copy = lab.ec2(AWAY).copy_snapshot(SourceRegion=HOME, SourceSnapshotId=lab.snapshot())["SnapshotId"]
    shown = lab.show_snapshot(copy, AWAY)
    assert shown["State"] == "error"
    assert shown["StateMessage"]
