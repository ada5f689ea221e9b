"""How the embedded cloud behaves when publishers are compared: AWS's limits, and durations as reported from the field.

A scaled run is a real one in which every second is shorter: the cloud's clock, the latencies of its calls and the publishers'
own waits go by ``scale`` times as fast.  What does not shrink is the work of this machine's processors, so that a scaled run
says the less of a publisher, the more of its time it computes.
"""

from __future__ import annotations

from typing import Any

from broadside.local.behaviour import Behaviour, parse

HOME = "us-east-1"
#: Seconds of ImportSnapshot, and of the fastest and the slowest copy to another Region.
IMPORT_SECONDS, COPY_SECONDS = 480.0, (600.0, 1800.0)


def enabled_regions() -> list[str]:
    """The Regions that the embedded cloud's account can use, home first."""
    names = [region.name for region in Behaviour().regions if region.enabled]
    return [HOME, *(name for name in names if name != HOME)]


def copy_seconds(regions: list[str]) -> dict[str, float]:
    """How long a copy into each Region takes: spread evenly between the fastest and the slowest."""
    fastest, slowest = COPY_SECONDS
    away = [name for name in regions if name != HOME]
    step = (slowest - fastest) / max(1, len(away) - 1)
    return {name: fastest + number * step for number, name in enumerate(away)}


def realistic(regions: list[str], scale: float) -> dict[str, Any]:
    """The behaviour of a cloud with these Regions whose clock goes ``scale`` times as fast."""
    aws = parse({"profile": "aws"})
    return {
        "profile": "aws",
        "home": HOME,
        "regions": [{"name": name} for name in regions],
        "time_scale": scale,
        # awspub tags an AMI at once and gives up if it is not visible yet: here it always is, for every publisher.
        "visibility_seconds": 0,
        "import_seconds": IMPORT_SECONDS,
        "copy_seconds": COPY_SECONDS[1],
        "copy_seconds_into": copy_seconds(regions),
        "latency": {pattern: seconds / scale for pattern, seconds in aws.latency.items()},
    }
