"""Promises about the snapshot of a build in one Region: begun once, chained only where that gives the very disk, sealed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import aws
from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import Method, Parent, PublicationState
from chalicelib.snapshots.blocks import BLOCK_SIZE, GIB
from chalicelib.snapshots.lifecycle import DESCRIPTION, TIMEOUT_MINUTES, Progress, give_up
from tests.local.lab import Lab, block
from tests.snapshots.bench import AWAY, HOME, Bench, digest_of, disk, only, refused, silent, starts

CONTENT = disk("a", "b", "", "d", "e")
AFTER = disk("a", "B", "", "d", "", "f")


def all_snapshots(lab: Lab, region: str = HOME) -> list[dict[str, Any]]:
    return list(lab.ec2(region).describe_snapshots(OwnerIds=["self"])["Snapshots"])


def fail(bench: Bench, snapshot_id: str) -> None:
    """Let a pending snapshot turn to error: nobody wrote to it for too long."""
    bench.lab.wait(60 * TIMEOUT_MINUTES + 1)
    assert bench.lab.show_snapshot(snapshot_id)["State"] == "error"


# Starting


def test_a_snapshot_is_begun_with_tags_a_token_and_a_long_time_out(bench: Bench) -> None:
    """All in one call, so that whatever dies afterwards, it can be found."""
    build = bench.build(CONTENT)
    publication = bench.snapshots(HOME).start(build, None)
    [call] = bench.ebs(HOME).of("start_snapshot")
    assert call["VolumeSize"] == 1
    assert {tag["Key"]: tag["Value"] for tag in call["Tags"]} == build.id.tags(build.digest)
    assert call["Description"].startswith(f"{DESCRIPTION} ")
    assert (call["Timeout"], len(call["ClientToken"]) <= 64) == (TIMEOUT_MINUTES, True)
    assert "ParentSnapshotId" not in call
    assert (publication.state, publication.method, publication.parent) == (PublicationState.WRITING, Method.WRITE, None)
    assert [each["SnapshotId"] for each in all_snapshots(bench.lab)] == [publication.snapshot_id]


def test_starting_again_begins_no_second_snapshot(bench: Bench) -> None:
    """What is there is found by its tag, and nothing changes."""
    build = bench.build(CONTENT)
    first = bench.snapshots(HOME).start(build, None)
    assert bench.snapshots(HOME).start(build, None) == first
    assert len(bench.ebs(HOME).of("start_snapshot")) == 1


def test_a_snapshot_whose_answer_was_lost_is_found_by_its_tag(bench: Bench) -> None:
    """Nobody knows its id; the next run does."""
    build = bench.build(CONTENT)
    bench.ebs(HOME).after = silent
    with pytest.raises(CloudBusy):
        bench.snapshots(HOME).start(build, None)
    assert bench.publication(build).snapshot_id == ""
    publication = bench.snapshots(HOME).start(build, None)
    assert [each["SnapshotId"] for each in all_snapshots(bench.lab)] == [publication.snapshot_id]
    assert len(bench.ebs(HOME).of("start_snapshot")) == 1


def test_a_snapshot_that_is_not_visible_yet_is_not_begun_twice(bench: Bench) -> None:
    """The answer was lost and DescribeSnapshots is late: the token brings the same snapshot back."""
    bench.lab.world.behaviour = bench.lab.world.behaviour.model_copy(update={"visibility_seconds": 30})
    build = bench.build(CONTENT)
    bench.ebs(HOME).after = only("start_snapshot", silent, times=1)
    with pytest.raises(CloudBusy):
        bench.snapshots(HOME).start(build, None)
    publication = bench.snapshots(HOME).start(build, None)
    with pytest.raises(CloudBusy, match="not visible yet"):
        bench.snapshots(HOME).start(build, None)
    bench.lab.wait(31)
    assert bench.snapshots(HOME).start(build, None) == publication
    assert [each["SnapshotId"] for each in all_snapshots(bench.lab)] == [publication.snapshot_id]


def test_a_snapshot_in_error_is_replaced_under_a_new_token(bench: Bench) -> None:
    """And deleted; its token would only bring it back."""
    build = bench.build(CONTENT)
    dead = bench.snapshots(HOME).start(build, None)
    fail(bench, dead.snapshot_id)
    alive = bench.snapshots(HOME).start(build, None)
    assert alive.attempt == dead.attempt + 1
    assert [each["SnapshotId"] for each in all_snapshots(bench.lab)] == [alive.snapshot_id]
    first, second = bench.ebs(HOME).of("start_snapshot")
    assert first["ClientToken"] != second["ClientToken"]
    assert bench.holds(bench.write(build, CONTENT), CONTENT)


def test_a_snapshot_in_error_whose_replacement_died_half_way_is_replaced(bench: Bench) -> None:
    """The attempt was counted, the snapshot not deleted; or it was deleted, and the new one's answer was lost."""
    build = bench.build(CONTENT)
    fail(bench, bench.snapshots(HOME).start(build, None).snapshot_id)
    bench.ec2(HOME).before = only("delete_snapshot", silent, times=1)
    bench.ebs(HOME).after = only("start_snapshot", silent, times=1)
    for _ in range(2):
        with pytest.raises(CloudBusy):
            bench.snapshots(HOME).start(build, None)
    publication = bench.snapshots(HOME).start(build, None)
    assert [each["SnapshotId"] for each in all_snapshots(bench.lab)] == [publication.snapshot_id]


def test_a_snapshot_that_somebody_deleted_is_begun_anew_once_that_is_certain(bench: Bench) -> None:
    """Not before EC2 would surely show it; then under another token."""
    build = bench.build(CONTENT)
    gone = bench.snapshots(HOME).start(build, None)
    bench.lab.ec2(HOME).delete_snapshot(SnapshotId=gone.snapshot_id)
    with pytest.raises(CloudBusy, match="not visible yet"):
        bench.snapshots(HOME).start(build, None)
    bench.clock.time += timedelta(seconds=aws.VISIBLE_AFTER)
    anew = bench.snapshots(HOME).start(build, None)
    assert anew.snapshot_id != gone.snapshot_id
    assert bench.holds(bench.write(build, CONTENT), CONTENT)


@pytest.mark.parametrize("state", [PublicationState.REGISTERED, PublicationState.STAGED, PublicationState.PUBLIC])
def test_a_region_that_has_its_ami_is_left_alone(bench: Bench, state: PublicationState) -> None:
    """Its snapshot is of no concern any more: nothing is asked, and nothing done."""
    build = bench.build(CONTENT)
    bench.index.open_region(build.id, HOME)
    bench.index.advance(build.id, HOME, state, image_id="ami-1")
    assert bench.snapshots(HOME).start(build, None).state is state
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY
    give_up(bench.index, build, HOME)
    assert bench.publication(build).method is None
    assert (bench.ebs(HOME).calls, bench.ec2(HOME).calls) == ([], [])


# Chaining


def test_a_build_chains_to_the_products_last_one_and_sends_what_differs(bench: Bench) -> None:
    """The snapshot holds the very disk, and still does when the parent is deleted."""
    parent = bench.publish(CONTENT, "20261120")
    bench.ebs(HOME).calls.clear()
    child = bench.publish(AFTER, "20261121")
    assert child.parent == Parent(parent.snapshot_id, "20261120", digest_of("20261120"))
    assert sorted(bench.ebs(HOME).put) == [0, 1, 4, 5]
    assert (child.blocks_written, child.blocks) == (4, 6)
    bench.lab.ec2(HOME).delete_snapshot(SnapshotId=parent.snapshot_id)
    assert bench.holds(child, AFTER)


def test_a_chain_of_builds_holds_every_disk_exactly(bench: Bench) -> None:
    """Blocks come, go, become zero and come back, and the disk grows beyond the end that was padded."""
    disks = [
        disk("a", "b", "c")[: -BLOCK_SIZE // 2],
        disk("a", "", "c", "d"),
        disk("", "b", "", "d"),
        disk("a", "b", "c", "d", "", "f"),
    ]
    publications = [bench.publish(content, f"2026112{number}") for number, content in enumerate(disks)]
    assert [each.parent is not None for each in publications] == [False, True, True, True]
    for publication, content in zip(publications, disks, strict=True):
        assert bench.holds(publication, content)


def test_the_chain_is_each_regions_own(bench: Bench) -> None:
    """A Region that missed a build chains to the one before, or is written in full."""
    first = bench.publish(CONTENT, "20261120", AWAY)
    bench.publish(AFTER, "20261121", HOME)
    build = bench.build(AFTER, "20261122")
    away, home = bench.write(build, AFTER, AWAY), bench.write(build, AFTER, HOME)
    assert away.parent is not None
    assert home.parent is not None
    assert (away.parent.snapshot_id, away.parent.serial, home.parent.serial) == (first.snapshot_id, "20261120", "20261121")
    assert (away.blocks_written, home.blocks_written) == (4, 1)
    assert bench.holds(away, AFTER)
    assert bench.holds(home, AFTER)


@pytest.mark.parametrize(
    "why",
    ["none", "gone", "pending", "encrypted", "not ours", "no digests", "larger disk", "zeros skipped", "in error"],
)
def test_what_cannot_be_chained_to_is_not(bench: Bench, why: str) -> None:
    """The build is written in full then, and holds the very disk."""
    spoil(bench, why)
    publication = bench.write(bench.build(AFTER, "20261121"), AFTER)
    assert publication.parent is None
    assert "ParentSnapshotId" not in bench.ebs(HOME).of("start_snapshot")[-1]
    assert publication.blocks_written == publication.blocks == 6
    assert bench.holds(publication, AFTER)


def spoil(bench: Bench, why: str) -> None:
    """A build before this one that cannot be a parent, for that reason."""
    lab = bench.lab
    if why == "none":
        return
    content = CONTENT if why != "larger disk" else AFTER + disk("g")
    skipped = why == "zeros skipped"
    before = bench.publish(content, "20261120", skip_zeros=skipped)
    build = bench.build(content, "20261120")
    if why == "gone":
        lab.ec2(HOME).delete_snapshot(SnapshotId=before.snapshot_id)
    elif why == "no digests":
        bench.s3.delete_object(Bucket=bench.lists.bucket, Key=f"digests/{build.digest}")
    elif why in ("pending", "in error"):
        other = lab.ebs(HOME).start_snapshot(VolumeSize=1, Timeout=10)["SnapshotId"]
        bench.leave(build, parent=Parent(other, "20261120", build.digest))
        lab.wait(601 if why == "in error" else 0)
    elif why == "encrypted":
        other = lab.snapshot(HOME, Encrypted=True)
        bench.leave(build, parent=Parent(other, "20261120", build.digest))
    elif why == "not ours":
        other = "snap-0" + "1" * 16
        bench.leave(build, parent=Parent(other, "20261120", build.digest))


def test_a_hole_may_be_inherited_where_holes_are_allowed(bench: Bench) -> None:
    """Zeros are skipped here as there: what was never written is never written."""
    before = bench.publish(CONTENT, "20261120", skip_zeros=True)
    assert before.blocks_written == 4
    after = bench.publish(AFTER, "20261121", skip_zeros=True)
    assert after.parent is not None
    assert bench.holds(after, AFTER)


def test_a_parent_of_the_same_size_in_gib_but_a_larger_disk_leaves_nothing_behind(bench: Bench) -> None:
    """The blocks beyond the new disk's end would be the old disk's."""
    bench.publish(AFTER, "20261120")
    publication = bench.publish(CONTENT, "20261121")
    assert publication.parent is None
    assert set(bench.lab.content(publication.snapshot_id)) == set(range(5))


def test_the_parent_is_chosen_once(bench: Bench) -> None:
    """A newer lineage that comes between two tries does not change it: the token stands for the call with this parent."""
    first = bench.publish(CONTENT, "20261120")
    build = bench.build(AFTER, "20261122")
    bench.ebs(HOME).before = only("start_snapshot", silent, times=1)
    with pytest.raises(CloudBusy):
        bench.snapshots(HOME).start(build, bench.index.lineages(build.id.product)[HOME])
    bench.publish(disk("x"), "20261121")
    publication = bench.write(build, AFTER)
    assert publication.parent is not None
    assert publication.parent.snapshot_id == first.snapshot_id
    assert bench.holds(publication, AFTER)


def test_two_runs_at_once_agree_on_the_parent(bench: Bench) -> None:
    """Both look before either decides, and see different lineages: the snapshot is chained to what the index says.

    Otherwise the blocks that are left out would be those of another disk, and no checksum tells.
    """
    bench.publish(CONTENT, "20261120")
    old = bench.index.lineages(bench.build(CONTENT, "20261120").id.product)[HOME]
    bench.publish(disk("x", "y"), "20261121")
    new = bench.index.lineages(old.product)[HOME]
    build = bench.build(AFTER, "20261122")
    slow, fast = bench.snapshots(HOME), bench.snapshots(HOME)

    class Late(type(bench.lists)):  # type: ignore[misc]  # looking for the parent's digests takes the slow one a while
        def there(self, digest: str) -> bool:
            fast.start(build, new)
            return super().there(digest)

    late = replace(slow, lists=Late(bench.lists.s3, bench.lists.bucket))
    late.start(build, old)
    publication = bench.write(build, AFTER)
    assert publication.parent == new.parent
    assert bench.holds(publication, AFTER)


def test_a_parent_that_goes_before_the_snapshot_is_begun_is_done_without(bench: Bench) -> None:
    """It was chosen, then retired: another attempt is written in full, instead of failing for ever."""
    parent = bench.publish(CONTENT, "20261120")
    build = bench.build(AFTER, "20261121")
    bench.ebs(HOME).before = only("start_snapshot", silent, times=1)
    with pytest.raises(CloudBusy):
        bench.snapshots(HOME).start(build, bench.index.lineages(build.id.product)[HOME])
    bench.lab.ec2(HOME).delete_snapshot(SnapshotId=parent.snapshot_id)
    publication = bench.write(build, AFTER)
    assert publication.parent is None
    assert bench.holds(publication, AFTER)


def test_a_pending_snapshot_with_another_parent_is_not_written_into(bench: Bench) -> None:
    """The index says what it is chained to, and the snapshot does: where they disagree another takes its place."""
    bench.publish(CONTENT, "20261120")
    old = bench.publication(bench.build(CONTENT, "20261120"))
    build = bench.build(AFTER, "20261121")
    begun = bench.snapshots(HOME).start(build, bench.index.lineages(build.id.product)[HOME])
    other = Parent("snap-0" + "2" * 16, "20261119", digest_of("20261119"))
    bench.index.advance(build.id, HOME, PublicationState.WRITING, attempt=begun.attempt + 1, method=Method.WRITE, parent=other)
    publication = bench.write(build, AFTER)
    assert publication.snapshot_id != begun.snapshot_id
    assert bench.holds(publication, AFTER)
    assert {each["SnapshotId"] for each in all_snapshots(bench.lab)} == {old.snapshot_id, publication.snapshot_id}


def test_a_pending_snapshot_that_the_index_knows_nothing_of_is_not_written_into(bench: Bench) -> None:
    """Nobody can say what it is chained to: another takes its place."""
    build = bench.build(CONTENT)
    tags = [{"Key": key, "Value": value} for key, value in build.id.tags(build.digest).items()]
    foreign = bench.lab.ebs(HOME).start_snapshot(VolumeSize=1, Tags=tags)["SnapshotId"]
    publication = bench.write(build, CONTENT)
    assert publication.snapshot_id != foreign
    assert bench.holds(publication, CONTENT)
    assert [each["SnapshotId"] for each in all_snapshots(bench.lab)] == [publication.snapshot_id]


def test_a_region_that_is_copied_begins_no_snapshot(bench: Bench) -> None:
    """Not even when a step of before comes late."""
    build = bench.build(CONTENT)
    bench.snapshots(HOME).start(build, None)
    give_up(bench.index, build, HOME)
    before = bench.publication(build)
    assert bench.snapshots(HOME).start(build, None) == before
    assert len(bench.ebs(HOME).of("start_snapshot")) == 1


# Completing


def test_what_is_not_written_is_behind(bench: Bench) -> None:
    """Without a snapshot, with one that lacks a shard, and with one that turned to error."""
    build = bench.build(CONTENT)
    room, receipts = bench.snapshots(HOME), bench.receipts(build)
    assert room.complete(build, receipts) is Progress.BEHIND
    snapshot_id = room.start(build, None).snapshot_id
    assert room.complete(build, receipts) is Progress.BEHIND
    bench.writer(build, CONTENT).write(0)
    assert room.complete(build, receipts) is Progress.BEHIND
    bench.writer(build, CONTENT).write(4)
    fail(bench, snapshot_id)
    assert room.complete(build, receipts) is Progress.BEHIND
    assert bench.ebs(HOME).of("complete_snapshot") == []


def test_a_region_that_only_others_wrote_is_behind(bench: Bench) -> None:
    """All digests are known, but this snapshot lacks a shard."""
    build = bench.build(CONTENT)
    for region in (HOME, AWAY):
        bench.snapshots(region).start(build, None)
    bench.ebs(AWAY).before = silent
    for start in starts(build):
        bench.writer(build, CONTENT).write(start)
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY
    assert bench.snapshots(AWAY).complete(build, bench.receipts(build)) is Progress.BEHIND


def test_a_snapshot_is_sealed_with_the_checksum_over_what_was_written(bench: Bench) -> None:
    """The embedded EBS compares it, as EBS does; how much was written stands in the index."""
    build = bench.build(CONTENT)
    publication = bench.write(build, CONTENT)
    [call] = bench.ebs(HOME).of("complete_snapshot")
    assert (call["ChangedBlocksCount"], call["ChecksumAlgorithm"], call["ChecksumAggregationMethod"]) == (
        5,
        "SHA256",
        "LINEAR",
    )
    assert (publication.blocks_written, publication.blocks) == (5, 5)
    assert bench.lab.show_snapshot(publication.snapshot_id)["State"] == "completed"


def test_a_block_too_many_or_another_block_is_not_sealed(bench: Bench) -> None:
    """Somebody else wrote into the snapshot: EBS finds another checksum, which only time tells from one that was heard."""
    build = bench.build(CONTENT)
    snapshot_id = bench.snapshots(HOME).start(build, None).snapshot_id
    for start in starts(build):
        bench.writer(build, CONTENT).write(start)
    bench.lab.put(snapshot_id, 3, block("another"))
    with pytest.raises(CloudBusy, match="ValidationException"):
        bench.snapshots(HOME).complete(build, bench.receipts(build))
    assert bench.lab.show_snapshot(snapshot_id)["State"] == "pending"


def test_completing_twice_does_no_harm(bench: Bench) -> None:
    """While it is pending still, and when it is completed."""
    bench.lab.world.behaviour = bench.lab.world.behaviour.model_copy(update={"snapshot_complete_seconds": 60})
    build = bench.build(CONTENT)
    publication = bench.write(build, CONTENT)
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY
    bench.lab.wait(61)
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY
    assert bench.publication(build) == publication
    assert bench.holds(publication, CONTENT)


def test_a_completion_whose_answer_was_lost_is_heard(bench: Bench) -> None:
    """The next try finds it completed."""
    build = bench.build(CONTENT)
    bench.ebs(HOME).after = only("complete_snapshot", silent)
    with pytest.raises(CloudBusy):
        bench.write(build, CONTENT)
    bench.ebs(HOME).calls.clear()
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY
    assert bench.ebs(HOME).calls == []
    assert bench.holds(bench.publication(build), CONTENT)


def test_a_second_completion_that_is_refused_while_the_first_takes_effect_is_tried_again(bench: Bench) -> None:
    """What EBS answers then is undocumented; where the snapshot is completed by then, all is well."""
    bench.lab.world.behaviour = bench.lab.world.behaviour.model_copy(update={"snapshot_complete_seconds": 60})
    build = bench.build(CONTENT)
    bench.write(build, CONTENT)
    bench.ebs(HOME).before = only("complete_snapshot", refused("ValidationException"))
    with pytest.raises(CloudBusy):
        bench.snapshots(HOME).complete(build, bench.receipts(build))
    bench.lab.wait(61)
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY


def test_a_completion_that_is_not_allowed_is_refused(bench: Bench) -> None:
    """And not taken for one that has been heard."""
    build = bench.build(CONTENT)
    bench.ebs(HOME).before = only("complete_snapshot", refused("AccessDeniedException"))
    with pytest.raises(CloudRefused, match="AccessDeniedException"):
        bench.write(build, CONTENT)


def test_a_disk_of_several_gib_gets_a_volume_that_holds_it(bench: Bench) -> None:
    """The last GiB begun counts."""
    build = bench.build(CONTENT)
    build = replace(build, disk_size=2 * GIB + 1)
    bench.snapshots(HOME).start(build, None)
    assert bench.ebs(HOME).of("start_snapshot")[0]["VolumeSize"] == 3


# Giving up


def test_a_region_that_is_given_up_is_copied_and_forgets_its_snapshot(bench: Bench) -> None:
    """Under another attempt, so that no token comes back; once is enough."""
    bench.publish(CONTENT, "20261120")
    build = bench.build(AFTER, "20261121")
    begun = bench.snapshots(HOME).start(build, bench.index.lineages(build.id.product)[HOME])
    for _ in range(2):
        give_up(bench.index, build, HOME)
    after = bench.publication(build)
    assert (after.method, after.state, after.attempt) == (Method.COPY, PublicationState.PLANNED, begun.attempt + 1)
    assert (after.snapshot_id, after.parent, after.blocks) == ("", None, 0)
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.COPY


def test_a_completed_snapshot_is_found_again_by_a_build_that_begins_anew(bench: Bench) -> None:
    """Its tags say that it is this build's, and its checksum was verified: it is not written again."""
    build = bench.build(CONTENT)
    publication = bench.write(build, CONTENT)
    bench.index.advance(build.id, HOME, PublicationState.FAILED, reason="The AMI could not be registered.")
    bench.ebs(HOME).calls.clear()
    again = bench.snapshots(HOME).start(build, None)
    assert (again.snapshot_id, again.state) == (publication.snapshot_id, PublicationState.WRITING)
    assert bench.snapshots(HOME).complete(build, bench.receipts(build)) is Progress.READY
    assert bench.ebs(HOME).calls == []
