"""A first build, and the next one with 5 % of its blocks changed: blocks, bytes, time and dollars."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from benchmarks import profile
from broadside.cli.cost import load_prices
from broadside.cost.estimate import Bill, Demand, RegionBlocks, Strategy, estimate
from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from chalicelib.snapshots.blocks import BLOCK_SIZE, GIB
from tests.e2e.site import Site
from tests.keys import new_key

#: Blocks of the image that is published here, how many of them change, and into how many Regions.
BLOCKS, CHANGED, REGIONS, SCALE = 160, 8, 5, 20.0
#: The image of the modelled bill: 8 GiB, a quarter of it data, zeros written with the rest.
MODELLED_BLOCKS, MODELLED_REGIONS = 8 * GIB // BLOCK_SIZE, 34


def measure() -> dict[str, Any]:
    """Publish both builds on the embedded cloud, and read every snapshot back."""
    regions = profile.enabled_regions()[:REGIONS]
    first = _image(seed=1)
    daily = _changed(first)
    behaviour = profile.realistic(regions, SCALE)
    with new_key("builder") as builder, new_key("signer") as signer, LocalCloud(behaviour) as cloud:
        site = Site(cloud, builder, signer)
        figures: dict[str, Any] = {"first": _publish(site, first), "daily": _publish(site, daily)}
    figures |= {"blocks": BLOCKS, "changed": CHANGED, "regions": REGIONS, "scale": SCALE}
    return figures | {"dollars": _dollars()}


def _publish(site: Site, content: bytes) -> dict[str, Any]:
    site.cloud.reset_calls()
    begun = time.perf_counter()
    build = site.upload(content)
    site.wait_for(build, BuildState.PUBLIC, timeout=900)
    seconds = (time.perf_counter() - begun) * SCALE
    puts = Counter(call["region"] for call in site.cloud.calls(service="ebs", action="PutSnapshotBlock"))
    equal = all(
        site.read_snapshot(region, each.snapshot_id, BLOCKS) == content for region, each in site.regions(build).items()
    )
    most = max(puts.values())
    return {"seconds": seconds, "blocks_a_region": most, "bytes_a_region": most * BLOCK_SIZE, "reads_back_equal": equal}


def _image(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCKS * BLOCK_SIZE)  # noqa: S311 - repeatable content, no secret


def _changed(content: bytes) -> bytes:
    """The image with blocks changed here and there, as far apart as they can be."""
    image = bytearray(content)
    for at in range(0, BLOCKS, BLOCKS // CHANGED):
        image[at * BLOCK_SIZE] ^= 0xFF
    return bytes(image)


def _dollars() -> dict[str, Any]:
    """What a first build and a daily of 8 GiB cost in 34 Regions, by the table of list prices."""
    full, few = MODELLED_BLOCKS, MODELLED_BLOCKS // 20
    prices = load_prices(None)
    names = [f"region-{number}" for number in range(MODELLED_REGIONS)]

    def bill(changed: int, strategy: Strategy) -> Bill:
        demand = Demand(full, names[0], tuple(RegionBlocks(name, full, changed) for name in names))
        return estimate(demand, strategy, prices)

    bills = {
        "first, direct": bill(full, Strategy.DIRECT),
        "daily, direct": bill(few, Strategy.DIRECT),
        "first, copy": bill(full, Strategy.COPY),
        "daily, copy": bill(few, Strategy.COPY),
    }
    return {
        name: {"once": each.once, "monthly": each.monthly, "puts": each.calls["PutSnapshotBlock"], "sent": each.sent}
        for name, each in bills.items()
    }
