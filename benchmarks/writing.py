"""How fast the block writer is, against what bounds it: SHA-256, and bare connections to the same server.

The server takes blocks and does nothing with them (:mod:`benchmarks.blockserver`), so that the client is what is measured.
Each contestant runs in a process of its own, and alternates with the others, so that what else the machine does hits all.
"""

from __future__ import annotations

import base64
import cProfile
import hashlib
import io
import multiprocessing
import os
import pstats
import random
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

from boto3.session import Session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import blockserver
from chalicelib import aws
from chalicelib.snapshots import lane, writer
from chalicelib.snapshots.blocks import BLOCK_SIZE, Shard, digests

KEY, SECRET = "AKIABENCHMARK0000000", "benchmark"
#: Blocks of the shard, and how often each contestant sends it.
BLOCKS, RUNS = 256, 5
REGIONS = (
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
    "af-south-1",
)


@dataclass(frozen=True)
class Rate:
    """What a contestant reached: calls a second, by the clock and by the client's own processor time."""

    per_second: float
    per_core_second: float


def blocks(count: int = BLOCKS) -> list[bytes]:
    """Random blocks, none of them zero."""
    source = random.Random(1)  # noqa: S311 - repeatable content, no secret
    return [source.randbytes(BLOCK_SIZE) for _ in range(count)]


def measure(calls: int, work: Callable[[], object]) -> Rate:
    """One run of ``work``, which makes ``calls`` calls."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return Rate(calls / (time.perf_counter() - begun), calls / (time.process_time() - used))


def sha256(content: Sequence[bytes]) -> Rate:
    """Hashing alone, on one core."""
    return measure(len(content), lambda: [hashlib.sha256(block).digest() for block in content])


def bare(content: Sequence[bytes], port: int, regions: int) -> Rate:
    """Prepared, signed requests from as many bare connections as the writer has; each block is hashed once."""
    number = writer.connections(regions)
    parts = [
        [(_head(index, block, REGIONS[region], port), block) for index, block in enumerate(content)][at::number]
        for region in range(regions)
        for at in range(number)
    ]

    def work() -> None:
        digests(content)
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda part: _send(part, port), parts))

    return measure(len(content) * regions, work)


def _send(part: Sequence[tuple[bytes, bytes]], port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for head, body in part:
            connection.sendall(head)
            connection.sendall(body)
            answer = connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 201 "):
                raise RuntimeError(f"PutSnapshotBlock answered {answer!r}")


def _head(index: int, block: bytes, region: str, port: int) -> bytes:
    """The head of a signed request, as it goes over the wire."""
    path = f"/snapshots/snap-0123456789abcdef0/blocks/{index}"
    headers = {
        "x-amz-Data-Length": str(BLOCK_SIZE),
        "x-amz-Checksum": base64.b64encode(hashlib.sha256(block).digest()).decode(),
        "x-amz-Checksum-Algorithm": "SHA256",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    }
    request = AWSRequest("PUT", f"http://127.0.0.1:{port}{path}", headers=headers)
    SigV4Auth(Credentials(KEY, SECRET), "ebs", region).add_auth(request)
    lines = [f"PUT {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {BLOCK_SIZE}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def ours(content: Sequence[bytes], port: int, regions: int) -> Rate:
    """The product's writer: one SHA-256 for all Regions, boto3, signing."""
    targets = [_target(region, len(content), regions, port) for region in REGIONS[:regions]]
    _write(
        targets, content[: writer.connections(regions)]
    )  # connections, credentials, endpoint: made once in a function's life
    return measure(len(content) * regions, lambda: _write(targets, content))


def through_botocore(content: Sequence[bytes], port: int, regions: int) -> Rate:
    """The same writer without its lanes: each call is botocore's."""
    vars(writer)["lane"] = SimpleNamespace(of=lambda _client: None)  # this process is the contestant's own
    return ours(content, port, regions)


def _target(region: str, count: int, regions: int, port: int) -> writer.Target:
    session = Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=region)
    config = aws.config(connections=writer.connections(regions))
    raw = session.client("ebs", endpoint_url=f"http://127.0.0.1:{port}", config=config)
    return writer.Target(aws.Client("ebs", region, raw), "snap-0123456789abcdef0", range(count))


def _write(targets: Sequence[writer.Target], content: Sequence[bytes]) -> None:
    shorter = [writer.Target(each.ebs, each.snapshot_id, range(len(content))) for each in targets]
    outcome = writer.write(shorter, Shard(0, len(content)), content, digests(content), rate=1e9)
    if any(outcome.values()):
        raise RuntimeError(f"The writer was stopped: {outcome}")


def _apart(contestant: Callable[..., Rate], *arguments: Any) -> Rate:
    """Run it in a process of its own, whose processor time is its alone."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_with_blocks, (contestant, arguments))


def _with_blocks(contestant: Callable[..., Rate], arguments: tuple[Any, ...]) -> Rate:
    return contestant(blocks(), *arguments)


def compare(runs: int = RUNS) -> dict[str, Any]:
    """All contestants, one after the other, ``runs`` times; medians, and the median of the ratios in one run."""
    several = len(REGIONS)
    with blockserver.serving() as port:
        contestants: dict[str, Callable[[], Rate]] = {
            "sha256": lambda: _apart(sha256),
            "bare_1": lambda: _apart(bare, port, 1),
            "writer_1": lambda: _apart(ours, port, 1),
            "botocore_1": lambda: _apart(through_botocore, port, 1),
            f"bare_{several}": lambda: _apart(bare, port, several),
            f"writer_{several}": lambda: _apart(ours, port, several),
            f"botocore_{several}": lambda: _apart(through_botocore, port, several),
        }
        rates = [{name: run() for name, run in contestants.items()} for _ in range(runs)]
    found: dict[str, Any] = {
        name: {
            "per_second": statistics.median(each[name].per_second for each in rates),
            "per_core_second": statistics.median(each[name].per_core_second for each in rates),
        }
        for name in contestants
    }
    for who, number in product(("writer", "botocore"), (1, several)):
        pairs = [(each[f"{who}_{number}"], each[f"bare_{number}"]) for each in rates]
        found[f"{who}_{number}"]["of_the_limit"] = statistics.median(one.per_second / other.per_second for one, other in pairs)
        found[f"{who}_{number}"]["of_the_limit_by_core"] = statistics.median(
            one.per_core_second / other.per_core_second for one, other in pairs
        )
    return found | {"regions": several, "blocks": BLOCKS, "runs": runs, "cores": os.cpu_count()}


def profile(lines: int = 25) -> str:
    """Where one thread spends its time on a shard for one Region: by the writer's lane, then by botocore."""
    content = blocks(128)
    with blockserver.serving() as port:
        target = _target(REGIONS[0], len(content), 1, port)
        quick = lane.of(target.ebs)
        assert quick is not None  # noqa: S101 - there is no proxy to loopback
        call = {"SnapshotId": target.snapshot_id, "DataLength": BLOCK_SIZE, "ChecksumAlgorithm": "SHA256"}

        def by_lane(index: int, block: bytes, checksum: str) -> None:
            quick.put(target.snapshot_id, index, block, checksum)

        def by_botocore(index: int, block: bytes, checksum: str) -> None:
            target.ebs.put_snapshot_block(BlockIndex=index, BlockData=block, Checksum=checksum, **call)

        return "".join(_profiled(put, content, lines) for put in (by_lane, by_botocore))


def _profiled(put: Callable[[int, bytes, str], None], content: Sequence[bytes], lines: int) -> str:
    profiler = cProfile.Profile()
    put(0, content[0], base64.b64encode(hashlib.sha256(content[0]).digest()).decode())
    profiler.enable()
    for index, block in enumerate(content):
        put(index, block, base64.b64encode(hashlib.sha256(block).digest()).decode())
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(lines)
    return text.getvalue()
