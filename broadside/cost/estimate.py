"""From counts of blocks to a bill, without I/O.

What is counted: the calls that change something, the blocks' bytes, what is stored.  What is estimated stands in
:mod:`broadside.cost.work`, and is a small part of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from broadside.cost.prices import Prices
from broadside.cost.work import work_at_home
from chalicelib.snapshots.blocks import BLOCK_SIZE, GIB


class Strategy(StrEnum):
    """How the Regions other than home come to their snapshot; named as in a stream's policy."""

    DIRECT = "direct"  # written into every Region
    COPY = "copy"  # written at home, copied by EC2 from there


@dataclass(frozen=True)
class RegionBlocks:
    """The blocks of one Region's snapshot: what a snapshot without a parent holds in ``full``, and what is ``written``.

    The two are the same where there is no parent.
    """

    region: str
    full: int
    written: int


@dataclass(frozen=True)
class Demand:
    """One build: the blocks of its image, zeros included, the Region that it is sent from, and what each Region needs."""

    image_blocks: int
    home: str
    regions: tuple[RegionBlocks, ...]


@dataclass(frozen=True)
class RegionBill:
    """One Region's part.  ``calls`` by action, ``sent`` and ``stored`` in bytes, ``once`` and ``monthly`` in dollars."""

    region: str
    calls: Mapping[str, int]
    sent: int
    stored: int
    once: float
    monthly: float


@dataclass(frozen=True)
class Bill:
    """What one strategy costs; ``work`` is in dollars, for the functions, state machines, S3 requests and index at home."""

    strategy: Strategy
    regions: tuple[RegionBill, ...]
    work: float

    @property
    def calls(self) -> dict[str, int]:
        """All calls by action."""
        total: Counter[str] = Counter()
        for each in self.regions:
            total.update(each.calls)
        return dict(total)

    @property
    def sent(self) -> int:
        """Bytes from home to other Regions."""
        return sum(each.sent for each in self.regions)

    @property
    def stored(self) -> int:
        """Bytes in snapshots, in all Regions."""
        return sum(each.stored for each in self.regions)

    @property
    def once(self) -> float:
        """Dollars for publishing."""
        return sum(each.once for each in self.regions) + self.work

    @property
    def monthly(self) -> float:
        """Dollars for each month that the snapshots are kept."""
        return sum(each.monthly for each in self.regions)


@dataclass(frozen=True)
class Saving:
    """What chaining saves: calls of PutSnapshotBlock, bytes, dollars.

    Negative where zeros are left out and much data became zeros.
    """

    blocks: int
    sent: int
    stored: int
    once: float
    monthly: float


def unchained(demand: Demand) -> Demand:
    """The same build where no Region has a parent: what chaining is compared with."""
    return replace(demand, regions=tuple(replace(each, written=each.full) for each in demand.regions))


def saving(demand: Demand, prices: Prices) -> Saving:
    """What is saved by chaining where the build is written into every Region."""
    first, chained = (estimate(each, Strategy.DIRECT, prices) for each in (unchained(demand), demand))
    return Saving(
        blocks=sum(each.full - each.written for each in demand.regions),
        sent=first.sent - chained.sent,
        stored=first.stored - chained.stored,
        once=first.once - chained.once,
        monthly=first.monthly - chained.monthly,
    )


def estimate(demand: Demand, strategy: Strategy, prices: Prices) -> Bill:
    """What it costs to publish ``demand`` with ``strategy``, at ``prices``, and to keep it."""
    regions = tuple(_region(each, demand.home, strategy, prices) for each in demand.regions)
    copied = sum(each.calls.get("CopyImage", 0) for each in regions)
    written = sum(each.calls.get("PutSnapshotBlock", 0) for each in regions)
    work = work_at_home(image_blocks=demand.image_blocks, written=written, regions=len(regions), copied=copied)
    return Bill(strategy, regions, work.dollars(prices.home))


def mutating_calls(strategy: Strategy, *, at_home: bool, written: int) -> dict[str, int]:
    """The calls to EC2 and to the EBS direct API that change something in one Region, when nothing has to be tried again.

    Args:
        written: blocks that go into the Region's snapshot, if it is written.
    """
    sharing = {"ModifyImageAttribute": 1, "ModifySnapshotAttribute": 1}
    if strategy is Strategy.COPY and not at_home:
        return {"CopyImage": 1, **sharing}
    return {"StartSnapshot": 1, "PutSnapshotBlock": written, "CompleteSnapshot": 1, "RegisterImage": 1, **sharing}


def _region(need: RegionBlocks, home: str, strategy: Strategy, prices: Prices) -> RegionBill:
    own, at_home = prices.of(need.region), need.region == home
    calls = mutating_calls(strategy, at_home=at_home, written=need.written)
    # A copy is counted as a full one: EC2 does not promise to find what the Region has of the parent.
    stored = (need.full if "CopyImage" in calls else need.written) * BLOCK_SIZE
    sent = 0 if at_home else stored
    puts = calls.get("PutSnapshotBlock", 0)
    return RegionBill(
        region=need.region,
        calls=calls,
        sent=sent,
        stored=stored,
        once=puts / 1000 * own.put_snapshot_block_per_1000 + sent / GIB * prices.home.transfer_gib,
        monthly=stored / GIB * own.snapshot_gib_month,
    )
