"""How fast the block writer is, and how long a publication to all Regions takes, on the embedded cloud.

    python -m benchmarks [--mib 256] [--json FILE]

The block writer is compared with what bounds it on this machine: hashing the same blocks, and PutSnapshotBlock from bare
sockets to the same server.  Ratios of one run can be trusted, single figures depend on the machine.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broadside.local.cloud import LocalCloud
from chalicelib import aws
from chalicelib.index.records import BuildState
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard, linear_checksum
from chalicelib.snapshots.writer import CONNECTIONS, write_shard
from tests.e2e.site import Site, image, public
from tests.keys import new_key

REGION = "us-east-1"


def blocks_of(mib: int) -> list[bytes]:
    """Random blocks, none of them zero, so that nothing is cheaper than in the worst case."""
    source = random.Random(1)  # noqa: S311 - repeatable content, no secret
    return [source.randbytes(BLOCK_SIZE) for _ in range(mib * 1024 * 1024 // BLOCK_SIZE)]


def per_second(count: int, work: Callable[[], object], runs: int = 3) -> float:
    """The median rate of ``work``, which handles ``count`` blocks, over some runs."""
    rates = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates)


def start(ebs: aws.Client, count: int) -> str:
    return str(ebs.start_snapshot(VolumeSize=max(1, -(-count * BLOCK_SIZE // 1024**3)))["SnapshotId"])


def writer(cloud: LocalCloud, blocks: list[bytes]) -> float:
    """Blocks per second of our writer."""
    session = cloud.session()
    raw = session.client("ebs", region_name=REGION, config=aws.config(connections=CONNECTIONS))
    ebs = aws.Client("ebs", REGION, raw)

    def run() -> None:
        snapshot = start(ebs, len(blocks))
        digests = write_shard(ebs, snapshot, Shard(0, len(blocks)), iter(blocks), skip_zeros=False)
        each = [digests[at : at + 32] for at in range(0, len(digests), 32)]
        ebs.complete_snapshot(
            SnapshotId=snapshot,
            ChangedBlocksCount=len(blocks),
            Checksum=linear_checksum(each),
            ChecksumAlgorithm="SHA256",
            ChecksumAggregationMethod="LINEAR",
        )

    return per_second(len(blocks), run)


def bare(cloud: LocalCloud, blocks: list[bytes], connections: int = CONNECTIONS) -> float:
    """Blocks per second of prepared, signed requests from bare connections: what the server takes."""
    ebs = aws.Client("ebs", REGION, cloud.client("ebs", REGION))
    address = urlsplit(cloud.endpoint)

    def send(part: list[tuple[str, bytes, dict[str, str]]]) -> None:
        connection = http.client.HTTPConnection(str(address.hostname), int(address.port or 80))
        for path, body, headers in part:
            connection.request("PUT", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                raise RuntimeError(f"PutSnapshotBlock answered {answer.status}")
        connection.close()

    rates = []
    for _ in range(3):
        snapshot = start(ebs, len(blocks))
        requests = list(_signed(cloud, snapshot, blocks))
        parts = [requests[number::connections] for number in range(connections)]
        begun = time.perf_counter()
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(send, parts))
        rates.append(len(blocks) / (time.perf_counter() - begun))
    return statistics.median(rates)


def _signed(cloud: LocalCloud, snapshot: str, blocks: list[bytes]) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    variables = cloud.environment
    credentials = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    for index, block in enumerate(blocks):
        path = f"/snapshots/{snapshot}/blocks/{index}"
        headers = {
            "x-amz-Data-Length": str(BLOCK_SIZE),
            "x-amz-Checksum": base64.b64encode(hashlib.sha256(block).digest()).decode(),
            "x-amz-Checksum-Algorithm": "SHA256",
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        }
        request = AWSRequest("PUT", cloud.endpoint + path, headers=headers)
        SigV4Auth(credentials, "ebs", REGION).add_auth(request)
        yield path, block, dict(request.headers.items())


def publication(behaviour: dict[str, Any], content: bytes) -> tuple[int, float]:
    """How many Regions one small build is public in, and after how many seconds."""
    with new_key("builder") as builder, new_key("signer") as signer, LocalCloud(behaviour) as cloud:
        site = Site(cloud, builder, signer)
        begun = time.perf_counter()
        build = site.upload(content)
        site.wait_for(build, BuildState.PUBLIC, timeout=600)
        return len(public(site.regions(build))), time.perf_counter() - begun


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--mib", type=int, default=128, help="size of the image that the block writer writes")
    arguments.add_argument("--json", help="also write the figures to this file")
    options = arguments.parse_args()
    blocks = blocks_of(options.mib)
    figures: dict[str, float] = {
        "SHA-256, blocks/s on one core": per_second(len(blocks), lambda: [hashlib.sha256(block).digest() for block in blocks])
    }
    with LocalCloud({"home": REGION, "regions": [{"name": REGION}]}) as cloud:
        figures["bare connections, blocks/s"] = bare(cloud, blocks)
        figures["block writer, blocks/s"] = writer(cloud, blocks)
    figures["block writer / bare connections"] = figures["block writer, blocks/s"] / figures["bare connections, blocks/s"]
    for name, behaviour in (("5 Regions", _regions(5)), ("all Regions", {"time_scale": 100})):
        count, seconds = publication(behaviour, image(16))
        figures[f"publication to {name} ({count}), s"] = seconds
    for name, figure in figures.items():
        print(f"{name:40} {figure:10.2f}")  # noqa: T201 - it is a command
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


def _regions(count: int) -> dict[str, Any]:
    names = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2"][:count]
    return {"time_scale": 100, "home": REGION, "regions": [{"name": name} for name in names]}


if __name__ == "__main__":
    main()
