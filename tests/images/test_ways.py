"""Promises about the two ways to an AMI, at the embedded cloud's EC2: from the Region's own snapshot, or from home's AMI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.images.regional import Progress, RegionalImage
from chalicelib.index.records import BuildRecord, Method, Parent, PublicationState
from chalicelib.snapshots.lifecycle import give_up
from tests.examples import manifest
from tests.snapshots.bench import AWAY, HOME, Bench, disk, make, only, silent

CONTENT = disk("a", "b", "c")
AFTER = disk("a", "B", "c", "d")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    with mock_aws():
        yield make(tmp_path)


def recorded(bench: Bench, content: bytes = CONTENT, serial: str = "20261120") -> BuildRecord:
    """A build with a whole manifest."""
    build = bench.build(content, serial)
    return replace(build, manifest=manifest(content, build.id))


def image(bench: Bench, build: BuildRecord, region: str = HOME, *, zeros_skipped: bool = False) -> RegionalImage:
    return RegionalImage(bench.index, bench.ec2(region), build, HOME, zeros_skipped=zeros_skipped)


def staged_at_home(bench: Bench) -> BuildRecord:
    """A build whose home has its AMI."""
    build = recorded(bench)
    bench.write(build, CONTENT)
    assert image(bench, build).register() is Progress.REGISTERED
    assert image(bench, build).check() is Progress.STAGED
    return build


def amis(bench: Bench, region: str = HOME) -> list[dict[str, Any]]:
    return list(bench.lab.ec2(region).describe_images(Owners=["self"])["Images"])


def test_a_region_that_was_written_registers_its_own_snapshot(bench: Bench) -> None:
    """Whether home is home or not, and without waiting for any other Region."""
    build = recorded(bench)
    for region in (AWAY, HOME):
        publication = bench.write(build, CONTENT, region)
        assert image(bench, build, region).register() is Progress.REGISTERED
        [ami] = amis(bench, region)
        assert ami["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == publication.snapshot_id
        assert image(bench, build, region).check() is Progress.STAGED
        assert bench.ec2(region).of("copy_image") == []


def test_a_snapshot_that_is_being_completed_is_waited_for(bench: Bench) -> None:
    """RegisterImage takes none that is pending."""
    bench.lab.world.behaviour = bench.lab.world.behaviour.model_copy(update={"snapshot_complete_seconds": 60})
    build = recorded(bench)
    bench.write(build, CONTENT)
    assert image(bench, build).register() is Progress.WAITING
    bench.lab.wait(61)
    assert image(bench, build).register() is Progress.REGISTERED


def test_a_region_that_copies_waits_for_home_and_copies_it(bench: Bench) -> None:
    """It ends with the same disk, in a snapshot of its own."""
    build = recorded(bench)
    bench.index.advance(build.id, AWAY, PublicationState.PLANNED, method=Method.COPY)
    assert image(bench, build, AWAY).register() is Progress.WAITING
    staged_at_home(bench)
    assert image(bench, build, AWAY).register() is Progress.REGISTERED
    assert image(bench, build, AWAY).check() is Progress.STAGED
    assert bench.ec2(AWAY).of("register_image") == []
    publication = bench.publication(build, AWAY)
    assert publication.snapshot_id
    assert bench.holds(publication, CONTENT)


def test_a_region_that_gave_up_writing_copies(bench: Bench) -> None:
    """Its half-written snapshot is not what it registers."""
    build = staged_at_home(bench)
    begun = bench.snapshots(AWAY).start(build, None).snapshot_id
    give_up(bench.index, build, AWAY)
    assert image(bench, build, AWAY).register() is Progress.REGISTERED
    assert image(bench, build, AWAY).check() is Progress.STAGED
    publication = bench.publication(build, AWAY)
    assert publication.snapshot_id not in ("", begun)
    assert bench.holds(publication, CONTENT)


def test_a_registration_whose_answer_was_lost_is_found(bench: Bench) -> None:
    """One AMI, whatever died when."""
    build = recorded(bench)
    bench.write(build, CONTENT)
    bench.ec2(HOME).after = only("register_image", silent, times=1)
    with pytest.raises(CloudBusy):
        image(bench, build).register()
    assert image(bench, build).register() is Progress.REGISTERED
    assert len(amis(bench)) == 1


def test_a_snapshot_in_error_is_told(bench: Bench) -> None:
    """There is nothing to register then; a retry writes another."""
    build = recorded(bench)
    bench.snapshots(HOME).start(build, None)
    bench.lab.wait(7 * 24 * 3600)
    with pytest.raises(CloudRefused, match="turned to error"):
        image(bench, build).register()


def test_an_ami_that_was_written_is_made_anew_from_its_snapshot(bench: Bench) -> None:
    """Somebody deregistered it: the blocks are not written again, and the method stays."""
    build = staged_at_home(bench)
    before = bench.publication(build)
    bench.lab.ec2(HOME).deregister_image(ImageId=before.image_id)
    bench.clock.time = bench.clock.time.replace(day=28)
    assert image(bench, build).register() is Progress.REGISTERED
    assert image(bench, build).check() is Progress.STAGED
    after = bench.publication(build)
    assert (after.snapshot_id, after.method, after.attempt) == (before.snapshot_id, Method.WRITE, before.attempt + 1)


def test_a_staged_ami_leaves_its_snapshot_to_the_next_build(bench: Bench) -> None:
    """With what the next one must know of it; before it is verified there is nothing to chain to."""
    build = recorded(bench)
    publication = bench.write(build, CONTENT)
    image(bench, build).register()
    assert bench.index.lineages(build.id.product) == {}
    image(bench, build, zeros_skipped=True).check()
    lineage = bench.index.lineages(build.id.product)[HOME]
    assert lineage.parent == Parent(publication.snapshot_id, build.id.serial, build.digest)
    assert (lineage.disk_size, lineage.zeros_skipped) == (len(CONTENT), True)


def test_the_next_build_chains_to_a_copy_too(bench: Bench) -> None:
    """A Region that copied once writes only what changed the next time."""
    build = staged_at_home(bench)
    bench.index.advance(build.id, AWAY, PublicationState.PLANNED, method=Method.COPY)
    image(bench, build, AWAY).register()
    image(bench, build, AWAY).check()
    child = bench.write(recorded(bench, AFTER, "20261121"), AFTER, AWAY)
    assert child.parent is not None
    assert child.parent.snapshot_id == bench.publication(build, AWAY).snapshot_id
    assert child.blocks_written == 3
    assert bench.holds(child, AFTER)


def test_retiring_a_build_does_not_break_its_child(bench: Bench) -> None:
    """AMI and snapshot of the older one are gone; the newer one's AMI still holds its very disk."""
    parent = staged_at_home(bench)
    child = recorded(bench, AFTER, "20261121")
    publication = bench.write(child, AFTER)
    image(bench, child).register()
    image(bench, child).check()
    old = bench.publication(parent)
    bench.lab.ec2(HOME).deregister_image(ImageId=old.image_id, DeleteAssociatedSnapshots=True)
    assert old.snapshot_id not in {
        each["SnapshotId"] for each in bench.lab.ec2(HOME).describe_snapshots(OwnerIds=["self"])["Snapshots"]
    }
    assert bench.holds(publication, AFTER)
