"""Snapshots, as EC2 and the EBS direct APIs both know them, by Region."""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from broadside.local.ebs.blocks import BLOCK_SIZE, BLOCKS_PER_GIB, BlockPool, Content

SnapshotState = Literal["pending", "completed", "error"]


@dataclass
class Snapshot:
    """One snapshot in one Region.

    Its state follows from the clock: it is pending until it is complete (``completes_at``, in the cloud's seconds; None while
    blocks may still be written), and in error when its ``failure`` says so or nobody wrote to it for too long.
    """

    snapshot_id: str
    owner_id: str
    region: str
    #: GiB.
    volume_size: int
    content: Content
    #: The cloud's seconds.
    created: float
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    encrypted: bool = False
    kms_key: str | None = None
    parent_id: str | None = None
    volume_id: str = "vol-ffffffff"
    completes_at: float | None = None
    failure: str = ""
    #: The wall clock's second at which a snapshot that gets no more blocks is given up.
    deadline: float | None = None
    #: Seconds between a write and that deadline.
    timeout: float = 3600
    #: Account ids that may create volumes from it, and ``all``.
    shared_with: set[str] = field(default_factory=set)

    def state(self, now: float, wall: float) -> SnapshotState:
        """The state at ``now`` (the cloud's seconds) and ``wall`` (the wall clock's)."""
        if self.completes_at is None:
            return "error" if self.deadline is not None and wall > self.deadline else "pending"
        if now < self.completes_at:
            return "pending"
        return "error" if self.failure else "completed"

    def readable_by(self, account_id: str) -> bool:
        """Whether the account may read the content and create volumes from it."""
        return account_id == self.owner_id or not self.shared_with.isdisjoint({account_id, "all"})

    @property
    def blocks(self) -> int:
        """How many blocks the volume has."""
        return self.volume_size * BLOCKS_PER_GIB

    def full_size(self) -> int:
        """Bytes of all blocks of a completed snapshot."""
        return self.content.count * BLOCK_SIZE


class SnapshotStore:
    """The snapshots of all Regions.  Whoever changes more than one value holds ``lock``."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self._pool = BlockPool(folder / "blocks.pool")
        self._regions: defaultdict[str, dict[str, Snapshot]] = defaultdict(dict)

    @property
    def blocks_stored(self) -> int:
        """How many distinct blocks lie on the disk."""
        return self._pool.stored

    def content(self, parent: Content | None = None) -> Content:
        """A new, empty content."""
        return Content(self._pool, parent)

    def add(self, snapshot: Snapshot) -> Snapshot:
        self._regions[snapshot.region][snapshot.snapshot_id] = snapshot
        return snapshot

    def get(self, region: str, snapshot_id: str) -> Snapshot | None:
        return self._regions[region].get(snapshot_id)

    def remove(self, snapshot: Snapshot) -> None:
        self._regions[snapshot.region].pop(snapshot.snapshot_id, None)

    def in_region(self, region: str) -> list[Snapshot]:
        return list(self._regions[region].values())


def new_id(prefix: str) -> str:
    """A new resource id, such as ``snap-0`` and 16 hexadecimal digits."""
    return f"{prefix}-0{secrets.token_hex(8)}"
