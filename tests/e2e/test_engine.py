"""The block engine, end to end: written everywhere at once, only what changed, and every Region's trouble its own."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from broadside.local.options import CHECKOUT
from chalicelib.index.records import BuildState, Method, Publication, PublicationState
from chalicelib.names import BuildId
from chalicelib.snapshots.blocks import BLOCK_SIZE
from tests.e2e.site import Site, public
from tests.keys import Key

HOME, AWAY, FAR = REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2")
QUIET: dict[str, Any] = {"home": HOME, "time_scale": 100, "regions": [{"name": name} for name in REGIONS]}
#: Whoever is not "user".
FUNCTIONS = "[!u]*"

POLICY = """
[default]
release = "at-once"

[streams.copied]
release = "at-once"
strategy = "copy"

[streams.sparse]
release = "at-once"
zero_blocks = "skip"
"""

#: Enough blocks for two shards, and a twentieth of them.
BLOCKS, CHANGED = 80, 4


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A deployment with a policy of its own: a stream for each choice."""
    code = tmp_path_factory.mktemp("code")
    shutil.copy(CHECKOUT / "app.py", code)
    shutil.copytree(CHECKOUT / "chalicelib", code / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    (code / "chalicelib" / "policy.toml").write_text(POLICY)
    with LocalCloud(QUIET, options=("--code", str(code))) as cloud:
        yield Site(cloud, builder, signer)


@pytest.fixture
def trouble(site: Site) -> Iterator[Any]:
    """Sets the cloud's behaviour; it is quiet again afterwards."""
    yield site.cloud.set_behaviour
    site.cloud.set_behaviour()


def product(name: str) -> str:
    """A product of a test's own, whose builds chain to no other test's."""
    return f"com.example.cloud:{name}:24.04:amd64"


def block(seed: str) -> bytes:
    """A block of random bytes."""
    return random.Random(seed).randbytes(BLOCK_SIZE)  # noqa: S311 - repeatable content, no secret


def disk(seeds: list[str]) -> bytes:
    """A disk of a block a seed, an empty one of zeros; its last block is not whole."""
    return b"".join(block(seed) if seed else bytes(BLOCK_SIZE) for seed in seeds)[:-4096]


def publish(site: Site, name: str, seeds: list[str], *, stream: str = "daily") -> BuildId:
    """Publish a build of the product, and see it public in every Region with the very disk."""
    build = site.upload(disk(seeds), stream, product(name))
    record = site.wait_for(build, BuildState.PUBLIC)
    assert record.reason == "", [each.reason for each in site.regions(build).values()]
    assert_everywhere(site, build, seeds)
    return build


def assert_everywhere(site: Site, build: BuildId, seeds: list[str]) -> None:
    """The build is public in every Region, from one completed snapshot that reads back equal to the image."""
    publications = site.regions(build)
    assert public(publications) == set(REGIONS)
    for region in REGIONS:
        [ami] = site.images(build, region)
        assert ami["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == publications[region].snapshot_id
        assert_reads_back(site, publications[region], seeds)


def assert_reads_back(site: Site, publication: Publication, seeds: list[str]) -> None:
    found = site.read_snapshot(publication.region, publication.snapshot_id, len(seeds))
    assert found == disk(seeds) + bytes(4096), publication.region


def puts(site: Site, after: int) -> Mapping[str, int]:
    """How many blocks each Region has taken after the call of that number."""
    calls = site.calls_since(after)
    return Counter(call["region"] for call in calls if call["action"] == "PutSnapshotBlock" and 200 <= call["status"] < 300)


def left_over(site: Site, build: BuildId) -> list[str]:
    """The build's snapshots, in all Regions, that are not its publications' own."""
    owned = {each.snapshot_id for each in site.regions(build).values()}
    there = [each for region in REGIONS for each in site.snapshots(build, region)]
    return [each["SnapshotId"] for each in there if each["SnapshotId"] not in owned or each["State"] != "completed"]


def retire(site: Site, publication: Publication) -> None:
    """Delete a publication's AMI and snapshot."""
    ec2 = site.session.client("ec2", region_name=publication.region)
    ec2.deregister_image(ImageId=publication.image_id, DeleteAssociatedSnapshots=True)


class Dailies:
    """Two builds of one product, of which the second changes a twentieth of the blocks, and what they cost."""

    def __init__(self, site: Site) -> None:
        self.seeds = [f"daily {number}" for number in range(BLOCKS)]
        self.seeds[7] = ""
        before = site.last_call()
        self.first = publish(site, "daily", self.seeds)
        self.first_puts = puts(site, before)
        #: The first block, two others, of which one is in the other shard, and one that becomes zero.
        self.changed = [*self.seeds]
        self.changed[0], self.changed[21], self.changed[70], self.changed[33] = "new 0", "new 21", "new 70", ""
        before = site.last_call()
        self.second = publish(site, "daily", self.changed)
        self.second_puts = puts(site, before)


@pytest.fixture(scope="module")
def dailies(site: Site) -> Dailies:
    return Dailies(site)


def test_blocks_are_written_in_every_region_and_nothing_is_copied(site: Site, dailies: Dailies) -> None:
    """Each Region's snapshot reads back equal, zeros were written, and CopyImage was not called."""
    assert dailies.first_puts == dict.fromkeys(REGIONS, BLOCKS)
    assert {each.method for each in site.regions(dailies.first).values()} == {Method.WRITE}
    assert site.cloud.calls(action="CopyImage") == []


def test_a_daily_writes_only_what_changed(site: Site, dailies: Dailies) -> None:
    """A twentieth of the blocks, those that became zero included; and every Region's snapshot reads back equal."""
    first, second = site.regions(dailies.first), site.regions(dailies.second)
    for region in REGIONS:
        assert second[region].parent is not None
        assert second[region].parent.snapshot_id == first[region].snapshot_id  # type: ignore[union-attr]  # see above
        assert dailies.second_puts[region] == second[region].blocks_written == CHANGED
        assert second[region].blocks_written <= 0.06 * first[region].blocks_written
        assert first[region].blocks == second[region].blocks == BLOCKS


def test_retiring_a_build_does_not_break_its_child(site: Site, dailies: Dailies) -> None:
    """With the parent gone the child reads back equal; where the child goes, too, the next build is written in full."""
    for publication in site.regions(dailies.first).values():
        retire(site, publication)
    for publication in site.regions(dailies.second).values():
        assert_reads_back(site, publication, dailies.changed)
    retire(site, site.regions(dailies.second)[AWAY])
    third = site.regions(publish(site, "daily", dailies.changed))
    assert {region: each.blocks_written for region, each in third.items()} == {HOME: 1, AWAY: BLOCKS, FAR: 1}
    assert third[AWAY].parent is None


def test_a_region_that_missed_a_build_chains_to_what_it_has(site: Site, trouble: Any) -> None:
    """To the build before, in that Region alone."""
    seeds = ["a", "b", "c", "d"]
    first = publish(site, "missed", seeds)
    trouble(
        faults=[
            {"service": service, "region": FAR, "mutating": True, "code": "AccessDenied", "status": 403}
            for service in ("ebs", "ec2")
        ]
    )
    second = site.upload(disk(["a", "B", "c", "d"]), product=product("missed"))
    site.wait_for(second, BuildState.PUBLIC)
    assert site.regions(second)[FAR].state is PublicationState.FAILED
    trouble()
    third = publish(site, "missed", ["a", "B", "c", "D"])
    parents = {region: each.parent.serial for region, each in site.regions(third).items() if each.parent is not None}
    assert parents == {HOME: second.serial, AWAY: second.serial, FAR: first.serial}
    assert {region: each.blocks_written for region, each in site.regions(third).items()} == {HOME: 2, AWAY: 2, FAR: 3}


def test_a_stream_that_copies_writes_at_home_alone(site: Site) -> None:
    """The other Regions' AMIs are copies of home's, and the next build chains at home."""
    before = site.last_call()
    first = publish(site, "copied", ["a", "b", "c"], stream="copied")
    assert puts(site, before) == {HOME: 3}
    assert {region: each.method for region, each in site.regions(first).items()} == {
        HOME: Method.WRITE,
        AWAY: Method.COPY,
        FAR: Method.COPY,
    }
    before = site.last_call()
    publish(site, "copied", ["a", "b", "C"], stream="copied")
    assert puts(site, before) == {HOME: 2}


def test_a_stream_that_skips_zeros_does_not_write_them(site: Site) -> None:
    """Unless something else was there before."""
    before = site.last_call()
    publish(site, "sparse", ["a", "", "c", ""], stream="sparse")
    assert puts(site, before) == dict.fromkeys(REGIONS, 2)
    before = site.last_call()
    publish(site, "sparse", ["a", "", "", "d"], stream="sparse")
    assert puts(site, before) == dict.fromkeys(REGIONS, 3)


def test_a_region_that_takes_no_blocks_copies_and_leaves_nothing_behind(site: Site, trouble: Any) -> None:
    """It is public all the same; the snapshot that it had begun is deleted by the hourly sweep."""
    trouble(faults=[{"action": "PutSnapshotBlock", "region": FAR, "code": "AccessDeniedException", "status": 403}])
    seeds = ["a", "b", "c"]
    build = publish(site, "fallen", seeds)
    assert {region: each.method for region, each in site.regions(build).items()} == {
        HOME: Method.WRITE,
        AWAY: Method.WRITE,
        FAR: Method.COPY,
    }
    site.fire("ClearOrphans")
    site.until(lambda: not left_over(site, build), "the pending snapshot to be deleted")
    assert_everywhere(site, build, seeds)


def test_a_silent_region_does_not_hold_up_the_others(site: Site, trouble: Any) -> None:
    """They are public while it has not taken a single block; when it answers again it catches up by itself."""
    trouble(faults=[{"action": "PutSnapshotBlock", "region": FAR, "kind": "timeout", "seconds": 1}])
    seeds = ["a", "b", "c"]
    build = site.upload(disk(seeds), product=product("silent"))
    site.until(lambda: public(site.regions(build)) == {HOME, AWAY}, "the other Regions to be public")
    assert site.regions(build)[FAR].state is PublicationState.WRITING
    trouble()
    site.wait_for(build, BuildState.PUBLIC)
    assert_everywhere(site, build, seeds)
    assert site.regions(build)[FAR].method is Method.WRITE


@pytest.mark.long
def test_a_region_that_throttles_for_good_does_not_hold_up_the_others(site: Site, trouble: Any) -> None:
    """It is left behind, and given the time to catch up once the others are through."""
    trouble(throttles=[{"service": "ebs", "action": "PutSnapshotBlock", "region": FAR, "bucket": 1, "refill": 0}])
    seeds = [f"throttled {number}" for number in range(BLOCKS)]
    build = site.upload(disk(seeds), product=product("throttled"))
    site.until(lambda: public(site.regions(build)) == {HOME, AWAY}, "the other Regions to be public", 150)
    assert site.regions(build)[FAR].state is PublicationState.WRITING
    trouble()
    site.wait_for(build, BuildState.PUBLIC, timeout=150)
    assert_everywhere(site, build, seeds)


def lossy(share: float) -> dict[str, Any]:
    """In every Region, so many of the answers are lost after the call took effect, and as many calls are throttled."""
    throttled = {"ebs": ("RequestThrottledException", 400), "ec2": ("RequestLimitExceeded", 503)}
    lost = [
        {"service": service, "mutating": True, "caller": FUNCTIONS, "probability": share, "kind": "apply-then-drop"}
        for service in ("ebs", "ec2", "dynamodb", "s3")
    ]
    refused = [
        {"service": service, "caller": FUNCTIONS, "probability": share, "code": code, "status": status}
        for service, (code, status) in throttled.items()
    ]
    return {"faults": lost + refused}


def assert_survives(site: Site, trouble: Any, name: str, seed: int, share: float) -> None:
    """Two builds in a row amid lost answers and throttles end as if nothing had been; nothing pending is left."""
    disks = [[f"{name} {number}" for number in range(12)]]
    disks.append([*disks[0][:5], "", *disks[0][6:], "more"])
    trouble(**lossy(share), seed=seed)
    builds = []
    for seeds in disks:
        builds.append(site.upload(disk(seeds), product=product(name)))
        site.wait_for(builds[-1], BuildState.PUBLIC, timeout=120)
    trouble()
    site.fire("ClearOrphans")
    for build, seeds in zip(builds, disks, strict=True):
        assert_everywhere(site, build, seeds)
        site.until(lambda: not left_over(site, build), "what was left over to be deleted")  # noqa: B023 - waited for here


def test_lost_answers_and_throttles_everywhere_end_in_the_same_snapshots(site: Site, trouble: Any) -> None:
    """In each Region one completed snapshot that holds the disk, and none besides."""
    assert_survives(site, trouble, "lossy", seed=1, share=0.1)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 12))
def test_lost_answers_and_throttles_of_any_kind_end_in_the_same_snapshots(site: Site, trouble: Any, seed: int) -> None:
    """More of them, and differently each time."""
    assert_survives(site, trouble, f"lossy{seed}", seed, share=0.2)
