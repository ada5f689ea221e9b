"""How long publications take that no laptop can move: a model of Broadside, of its strategy ``copy``, and of awspub.

It is made of the calls that each of them makes, in their order (as the embedded cloud's journal shows them), with assumed
durations and AWS's documented limits.  All Regions are alike but for how long a copy into them takes, so that one bucket of
PutSnapshotBlock stands for that of every Region.  Nothing here touches a network or a clock.

What is not modelled: the builder's upload, which comes before; failures; and what a Region does beyond its documented limits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.simulation import Bucket, Process, Simulation, Slots
from chalicelib.snapshots import blocks, writer

GIB = 1024**3


@dataclass(frozen=True)
class Assumptions:
    """Durations in seconds.  Sources: see docs/performance.md."""

    #: Bytes a second of one function's network.
    function_bytes: float = 75e6
    #: A step of the state machine, its invocation included: by the function's name where it is known, else ``step``.
    steps: Mapping[str, float] = field(default_factory=dict)
    step: float = 0.5
    #: From the upload of the manifest to the first state.
    ingest: float = 2.0
    #: One PutSnapshotBlock, to a Region far away.
    put: float = 0.3
    #: Any other call to EC2 or EBS.
    call: float = 0.15
    snapshot_complete: float = 60.0
    register: float = 30.0
    import_snapshot: float = 480.0
    #: The fastest and the slowest copy to another Region.
    copy: tuple[float, float] = (600.0, 1800.0)

    def takes(self, function: str) -> float:
        """How long one invocation of a function takes, beyond the bytes that it moves."""
        return self.steps.get(function, self.step)

    # Broadside's own choices
    shards_at_once: int = blocks.AT_ONCE
    wait_for_source: float = 15.0
    wait_for_image: float = 30.0
    regions_at_once: int = 40
    #: Whether the image is verified before anything is written, as it is, or beside it.
    verify_first: bool = True

    # AWS's limits
    public_images: int = 1000
    copies_at_once: int = 300
    snapshot_copies_at_once: int = 20


@dataclass(frozen=True)
class Load:
    """What is published: builds of one size, all at once, to so many Regions.

    ``file_bytes`` are those of the uploaded file, which is read once to be verified; ``changed`` is the share of the blocks
    that differ from the build before, 1 for a first one.
    """

    regions: int
    disk_bytes: int = 8 * GIB
    file_bytes: int = 2 * GIB
    builds: int = 1
    changed: float = 1.0


@dataclass
class Outcome:
    """When each build was through in its last Region, in seconds, in order.

    ``refused`` AMIs stay private for the quota of public ones; ``puts_per_second`` is the highest rate of PutSnapshotBlock in
    a Region.
    """

    ended: list[float] = field(default_factory=list)
    refused: int = 0
    puts_per_second: float = 0.0

    @property
    def seconds(self) -> float:
        """Until the last build is through."""
        return self.ended[-1]


#: Publishes one build in a cloud.
Publisher = Callable[["Cloud"], Process]


class Cloud:
    """The account: its Regions' limits, which all builds share."""

    def __init__(self, load: Load, assumed: Assumptions) -> None:
        self.load, self.assumed = load, assumed
        self.simulation = simulation = Simulation()
        self.random = random.Random(1)  # noqa: S311 - spreads retries, keeps no secret
        self.outcome = Outcome()
        self.functions = Slots(assumed.shards_at_once)
        self.puts = Bucket(simulation, writer.PUTS_PER_SECOND, writer.PUTS_PER_SECOND)
        self.starts = self._buckets(10, 10)
        self.completions = self._buckets(10, 10)
        self.registrations = self._buckets(50, 5)
        self.copy_calls = self._buckets(100, 1)
        self.permissions = self._buckets(100, 5)
        self.image_copies = [Slots(assumed.copies_at_once) for _ in range(load.regions)]
        self.snapshot_copies = [Slots(assumed.snapshot_copies_at_once) for _ in range(load.regions)]
        self.public_images = [0] * load.regions

    def _buckets(self, size: float, refill: float) -> list[Bucket]:
        return [Bucket(self.simulation, size, refill) for _ in range(self.load.regions)]

    def copy_seconds(self, region: int) -> float:
        """A copy into a Region: spread evenly between the fastest and the slowest; home is number 0."""
        fastest, slowest = self.assumed.copy
        others = max(1, self.load.regions - 2)
        return fastest + (slowest - fastest) * (region - 1) / others

    def share(self, region: int) -> Process:
        """Make the AMI and its snapshot public, if the Region's quota allows."""
        if self.public_images[region] >= self.assumed.public_images:
            self.outcome.refused += 1
            return
        self.public_images[region] += 1
        yield self.permissions[region].wait() + 2 * self.assumed.call


def simulate(publisher: Publisher, load: Load, assumed: Assumptions | None = None) -> Outcome:
    """Publish ``load.builds`` builds, all begun at once."""
    cloud = Cloud(load, assumed or Assumptions())

    def build() -> Process:
        yield from publisher(cloud)
        cloud.outcome.ended.append(cloud.simulation.now)

    for _ in range(load.builds):
        cloud.simulation.spawn(build())
    cloud.simulation.run()
    cloud.outcome.puts_per_second = cloud.puts.busiest
    return cloud.outcome


# ------------------------------------------------------------------------------------------------------------- Broadside


def direct(cloud: Cloud) -> Process:
    """Blocks are written in every Region, and each registers its AMI."""
    yield from _to_snapshots(cloud, cloud.load.regions)
    yield from _regions(cloud, (_register_and_share(cloud, region) for region in range(cloud.load.regions)))


def copy(cloud: Cloud) -> Process:
    """Blocks are written at home; EC2 copies the AMI to the others."""
    yield from _to_snapshots(cloud, 1)
    available: list[float] = []
    home = _register_and_share(cloud, 0, available)
    others = (_copy_and_share(cloud, region, available) for region in range(1, cloud.load.regions))
    yield from _regions(cloud, [home, *others])


def _regions(cloud: Cloud, processes: Iterable[Process]) -> Process:
    yield from cloud.simulation.all(processes, cloud.assumed.regions_at_once)


def _to_snapshots(cloud: Cloud, regions: int) -> Process:
    assumed = cloud.assumed
    verify = assumed.takes("VerifyFile") + cloud.load.file_bytes / assumed.function_bytes
    yield assumed.ingest
    begun = cloud.simulation.now
    if assumed.verify_first:
        yield verify
    yield assumed.takes("ReadDisk") + assumed.takes("PlanRegions")
    yield assumed.takes("StartSnapshots")
    yield from cloud.simulation.all((_start(cloud, region) for region in range(regions)), at_once=16)
    planned = blocks.shards(cloud.load.disk_bytes)
    yield from cloud.simulation.all((_write(cloud, shard.count, regions) for shard in planned), assumed.shards_at_once)
    yield max(0.0, begun + verify - cloud.simulation.now)


def _start(cloud: Cloud, region: int) -> Process:
    yield cloud.starts[region].wait() + 2 * cloud.assumed.call


def _write(cloud: Cloud, count: int, regions: int) -> Process:
    """One shard: read, then sent to all Regions, as fast as pace, network and connections allow."""
    assumed = cloud.assumed
    attempt = 0
    while not cloud.functions.take():
        attempt += 1
        yield cloud.random.uniform(0, min(60, 2.0**attempt))
    yield assumed.takes("WriteShard") + count * blocks.BLOCK_SIZE / assumed.function_bytes
    left = round(count * cloud.load.changed)
    pace = writer.PUTS_PER_SECOND / assumed.shards_at_once
    connections = writer.connections(regions)
    one = max(1 / pace, regions * blocks.BLOCK_SIZE / assumed.function_bytes, assumed.put / connections)
    while left > 0:
        batch = min(left, connections)
        left -= batch
        yield max(cloud.puts.wait(batch), batch * one)
    cloud.functions.give_back()


def _register_and_share(cloud: Cloud, region: int, available: list[float] | None = None) -> Process:
    assumed, simulation = cloud.assumed, cloud.simulation
    yield cloud.completions[region].wait() + assumed.takes("CompleteSnapshot")
    completed = simulation.now + assumed.snapshot_complete
    yield assumed.takes("RegisterImage")
    while simulation.now < completed:
        yield assumed.wait_for_source + assumed.takes("RegisterImage")
    yield cloud.registrations[region].wait() + assumed.call
    ready = simulation.now + assumed.register
    if available is not None:
        available.append(ready)
    yield from _share_when(cloud, region, ready)


def _copy_and_share(cloud: Cloud, region: int, available: list[float]) -> Process:
    assumed, simulation = cloud.assumed, cloud.simulation
    yield assumed.takes("RegisterImage")
    while not available or simulation.now < available[0] or not cloud.image_copies[region].take():
        yield assumed.wait_for_source + assumed.takes("RegisterImage")
    yield cloud.copy_calls[region].wait() + assumed.call
    ready = simulation.now + cloud.copy_seconds(region)
    yield from _share_when(cloud, region, ready, cloud.image_copies[region])


def _share_when(cloud: Cloud, region: int, ready: float, copying: Slots | None = None) -> Process:
    assumed, simulation = cloud.assumed, cloud.simulation
    yield assumed.takes("CheckImage")
    while simulation.now < ready:
        yield assumed.wait_for_image + assumed.takes("CheckImage")
    if copying is not None:
        copying.give_back()
    yield assumed.takes("MakePublic")
    yield from cloud.share(region)


# ---------------------------------------------------------------------------------------------------------------- awspub


def awspub(cloud: Cloud) -> Process:
    """Import, copy the snapshot everywhere, register everywhere, share everywhere: one call after the other.

    Where a quota of copies would make awspub give up, it is taken to come again: the model flatters it.
    """
    assumed, simulation, regions = cloud.assumed, cloud.simulation, range(cloud.load.regions)
    yield 3 * assumed.call
    yield from _poll(simulation, simulation.now + assumed.import_snapshot, 30, assumed.call)
    yield 3 * assumed.call
    ready = [simulation.now]
    for region in regions[1:]:
        while not cloud.snapshot_copies[region].take():
            yield 30.0
        yield 3 * assumed.call
        simulation.spawn(_released_after(cloud.copy_seconds(region), cloud.snapshot_copies[region]))
        ready.append(simulation.now + cloud.copy_seconds(region))
    for when in ready:
        yield from _poll(simulation, when, 30, assumed.call)
    available = []
    for region in regions:
        yield cloud.registrations[region].wait() + 3 * assumed.call
        available.append(simulation.now + assumed.register)
    for when in available:
        yield assumed.call
        yield from _poll(simulation, when, 15, assumed.call)
    for region in regions:
        yield assumed.call
        yield from cloud.share(region)


def _poll(simulation: Simulation, until: float, every: float, call: float) -> Process:
    """A waiter: looks, then sleeps, until what it waits for is there."""
    yield call
    while simulation.now < until:
        yield every + call


def _released_after(seconds: float, slots: Slots) -> Process:
    yield seconds
    slots.give_back()


PUBLISHERS: dict[str, Publisher] = {"direct": direct, "copy": copy, "awspub": awspub}
