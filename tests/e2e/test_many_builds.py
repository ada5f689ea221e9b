"""Many builds at once share every Region's limits, and none of them goes short."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import yaml

from broadside.local.behaviour import PROFILES
from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from chalicelib.names import MANIFEST_NAME, BuildId
from tests.e2e.site import Site, image, public
from tests.examples import manifest
from tests.keys import Key

REGIONS = ("us-east-1", "eu-west-1")
SCALE = 20
#: AWS's documented limits, from the profile that is named after it.
THROTTLES = yaml.safe_load((PROFILES / "aws.yaml").read_text())["throttles"]
BEHAVIOUR: dict[str, Any] = {
    "home": REGIONS[0],
    "time_scale": SCALE,
    "regions": [{"name": name} for name in REGIONS],
    "throttles": THROTTLES,
}


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key) -> Iterator[Site]:
    """A deployment in an account with AWS's limits."""
    with LocalCloud(BEHAVIOUR) as cloud:
        yield Site(cloud, builder, signer)


def upload(site: Site, number: int) -> BuildId:
    """One of many products' builds of the same day."""
    build = BuildId(f"com.example.cloud:flavour{number}:24.04:amd64", "daily", "20261120")
    content = image(2, seed=100 + number)
    site.put(build, "disk.img", content)
    site.put(build, MANIFEST_NAME, site.builder.clearsign(manifest(content, build)))
    return build


def all_published(site: Site, count: int, timeout: float) -> None:
    """Upload so many builds at once, and see every one public in every Region, and no Region above its limits."""
    builds = [upload(site, number) for number in range(count)]
    for build in builds:
        record = site.until(lambda: _public(site, build), f"{build} to be public", timeout)  # noqa: B023 - waited for here
        assert record.reason == ""
        assert public(site.regions(build)) == set(REGIONS)
    assert above_limits(site.cloud.calls()) == []


def _public(site: Site, build: BuildId) -> Any:
    record = site.record(build)
    done = record is not None and record.state is BuildState.PUBLIC and public(site.regions(build)) == set(REGIONS)
    return record if done else None


def above_limits(calls: list[dict[str, Any]]) -> list[str]:
    """The limits that more calls were let through than their token bucket has: counted anew, from the journal."""
    return [
        f"{throttle['service']}:{throttle['action']} in {region}"
        for throttle in THROTTLES
        for region, times in _taken(calls, throttle).items()
        if not _fits(times, throttle["bucket"], throttle["refill"])
    ]


def _taken(calls: list[dict[str, Any]], throttle: dict[str, Any]) -> dict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for call in calls:
        if (call["service"], call["action"]) == (throttle["service"], throttle["action"]) and call["trouble"] != "throttled":
            found[call["region"]].append(datetime.fromisoformat(call["time"]).timestamp() * SCALE)
    return {region: sorted(times) for region, times in found.items()}


def _fits(times: list[float], bucket: float, refill: float) -> bool:
    """Whether a full bucket gives a token for each call; a call's time is taken down a moment after its token."""
    level, last = bucket + 1.0, times[0]
    for at in times:
        level, last = min(bucket + 1.0, level + (at - last) * refill) - 1, at
        if level < -refill * SCALE * 0.05:
            return False
    return True


def test_a_dozen_builds_at_once_are_all_published_within_the_limits(site: Site) -> None:
    """Each waits for its turn, and none is given up."""
    all_published(site, 12, timeout=120)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_builds_at_once_are_all_published_within_the_limits(builder: Key, signer: Key) -> None:
    """As on the day on which everything is built anew."""
    with LocalCloud({**BEHAVIOUR, "public_images_quota": 50}) as cloud:
        all_published(Site(cloud, builder, signer), 50, timeout=900)
