"""A bench for the block engine: the embedded cloud's EC2 and EBS in this process, an index, a work bucket, and trouble."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from broadside.local.world import ACCOUNT_ID
from chalicelib import aws
from chalicelib.errors import CloudBusy, CloudRefused, CloudSilent
from chalicelib.index.records import BuildRecord, Lineage, Parent, Publication, PublicationState
from chalicelib.index.table import Index
from chalicelib.snapshots.blocks import BLOCK_SIZE, block_count, cut, digests, shards
from chalicelib.snapshots.digests import DigestLists, Receipts
from chalicelib.snapshots.lifecycle import Progress, Snapshots
from chalicelib.snapshots.shards import ReadDisk, ShardWriter
from tests.index.values import BUILD, Clock, empty_index, record
from tests.local.lab import AWAY, HOME, Lab, block, client

REGIONS = (HOME, AWAY, "ap-south-1")
BUCKET = "work"
#: Called with a call's action and parameters; what it raises takes the answer's place.
Hook = Callable[[str, dict[str, Any]], None]


def disk(*seeds: str) -> bytes:
    """A disk of one block a seed; an empty seed is a block of zeros."""
    return b"".join(block(seed) if seed else bytes(BLOCK_SIZE) for seed in seeds)


def digest_of(serial: str) -> str:
    """What stands for the digest of a build's manifest."""
    return hashlib.sha256(serial.encode()).hexdigest()


class Watched(aws.Client):
    """A client that remembers its calls; ``before`` refuses them, ``after`` loses the answers of those that took effect."""

    def __init__(self, client: aws.Client) -> None:
        super().__init__(client.service, client.region, client.raw)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.before: Hook | None = None
        self.after: Hook | None = None

    def __getattr__(self, action: str) -> Any:
        call = super().__getattr__(action)

        def watched(**parameters: Any) -> Any:
            self.calls.append((action, parameters))
            if self.before is not None:
                self.before(action, parameters)
            answer = call(**parameters)
            if self.after is not None:
                self.after(action, parameters)
            return answer

        return watched

    def pages(self, action: str, key: str, **parameters: Any) -> Iterator[Any]:
        self.calls.append((action, parameters))
        if self.before is not None:
            self.before(action, parameters)
        return super().pages(action, key, **parameters)

    def of(self, action: str) -> list[dict[str, Any]]:
        """The parameters of all calls of one action."""
        return [parameters for name, parameters in self.calls if name == action]

    @property
    def put(self) -> list[int]:
        """The indexes of the blocks that were put, in the order of the calls."""
        return [parameters["BlockIndex"] for parameters in self.of("put_snapshot_block")]


def throttled(_action: str, _parameters: dict[str, Any]) -> None:
    """A hook: too many requests."""
    raise CloudBusy("ebs answered RequestThrottledException", code="RequestThrottledException")


def silent(_action: str, _parameters: dict[str, Any]) -> None:
    """A hook: no answer."""
    raise CloudSilent("ebs got no answer", code="ReadTimeoutError")


def refused(code: str) -> Hook:
    """A hook: refused for good."""

    def refuse(_action: str, _parameters: dict[str, Any]) -> None:
        raise CloudRefused(f"refused with {code}", code=code)

    return refuse


def only(action: str, hook: Hook, *, times: int = 1_000_000) -> Hook:
    """The hook for one action, and for its first ``times`` calls only."""
    left, lock = [times], threading.Lock()

    def limited(name: str, parameters: dict[str, Any]) -> None:
        with lock:
            hit = name == action and left[0] > 0
            left[0] -= hit
        if hit:
            hook(name, parameters)

    return limited


@dataclass
class Bench:
    """Builds are written and sealed here step by step, as the state machine does it."""

    lab: Lab
    index: Index
    s3: aws.Client
    clock: Clock
    _clients: dict[tuple[str, str], Watched] = field(default_factory=dict)

    def ebs(self, region: str) -> Watched:
        return self._client("ebs", region)

    def ec2(self, region: str) -> Watched:
        return self._client("ec2", region)

    def _client(self, service: str, region: str) -> Watched:
        raw = {"ebs": self.lab.ebs, "ec2": self.lab.ec2}[service](region)
        return self._clients.setdefault((service, region), Watched(aws.Client(service, region, raw)))

    @staticmethod
    def watch(client: aws.Client) -> Watched:
        """The same client, watched."""
        return Watched(client)

    @property
    def lists(self) -> DigestLists:
        return DigestLists(self.s3, BUCKET)

    def receipts(self, build: BuildRecord) -> Receipts:
        return Receipts(self.s3, BUCKET, build.digest)

    def snapshots(self, region: str, *, skip_zeros: bool = False) -> Snapshots:
        return Snapshots(self.index, self.ec2(region), self.ebs(region), self.lists, skip_zeros=skip_zeros)

    def writer(self, build: BuildRecord, content: bytes, *, skip_zeros: bool = False) -> ShardWriter:
        return ShardWriter(
            self.index, self.lists, self.receipts(build), build, reader(content), self.ebs, skip_zeros=skip_zeros
        )

    def build(self, content: bytes, serial: str = BUILD.serial, regions: tuple[str, ...] = REGIONS) -> BuildRecord:
        """A build with that disk, recorded and planned."""
        made = record(replace(BUILD, serial=serial), digest_of(serial), disk_size=len(content))
        self.index.record_build(made)
        self.index.plan(made.id, dict.fromkeys(regions, PublicationState.PLANNED))
        return made

    def publication(self, build: BuildRecord, region: str = HOME) -> Publication:
        return self.index.publication(build.id, region)

    def write(self, build: BuildRecord, content: bytes, region: str = HOME, **choices: Any) -> Publication:
        """Start the build's snapshot in one Region, write all of it, and seal it."""
        room = self.snapshots(region, **choices)
        room.start(build, self.index.lineages(build.id.product).get(region))
        assert self.writer(build, content, **choices).catch_up(region)
        assert room.complete(build, self.receipts(build)) is Progress.READY
        return self.publication(build, region)

    def publish(self, content: bytes, serial: str, region: str = HOME, **choices: Any) -> Publication:
        """As :meth:`write`; and the product's next build can be chained to it."""
        build = self.build(content, serial)
        publication = self.write(build, content, region, **choices)
        self.leave(build, region, zeros_skipped=choices.get("skip_zeros", False))
        return publication

    def leave(self, build: BuildRecord, region: str = HOME, *, zeros_skipped: bool = False, **changes: Any) -> Lineage:
        """Let the next build chain to this one, as a staged AMI does."""
        parent = Parent(self.publication(build, region).snapshot_id, build.id.serial, build.digest)
        made = Lineage(build.id.product, region, parent, build.disk_size, zeros_skipped, self.index.now())
        self.index.put_lineage(replace(made, **changes))
        return self.index.lineages(build.id.product)[region]

    def read(self, snapshot_id: str, blocks: int, region: str = HOME) -> bytes:
        """The first blocks of a snapshot, holes as zeros."""
        there = self.lab.content(snapshot_id, region)
        assert all(index < blocks for index in there)
        return b"".join(there.get(index, bytes(BLOCK_SIZE)) for index in range(blocks))

    def holds(self, publication: Publication, content: bytes) -> bool:
        """Whether the publication's snapshot holds that very disk."""
        blocks = block_count(len(content))
        return self.read(publication.snapshot_id, blocks, publication.region) == content.ljust(blocks * BLOCK_SIZE, b"\0")


def make(folder: Path) -> Bench:
    """A new bench; to be called within ``mock_aws``."""
    clock = Clock()
    s3, dynamodb = (aws.Client(service, HOME, client(service, HOME, ACCOUNT_ID)) for service in ("s3", "dynamodb"))
    s3.create_bucket(Bucket=BUCKET)
    return Bench(Lab(folder), empty_index(clock, dynamodb), s3, clock)


def reader(content: bytes) -> ReadDisk:
    """Reads that disk."""
    return lambda offset, length: content[offset : offset + length]


def list_of(content: bytes) -> bytes:
    """The digest list of a disk."""
    return digests(cut(content))


def starts(build: BuildRecord) -> list[int]:
    """Where the build's shards begin."""
    return [shard.start for shard in shards(build.disk_size)]
