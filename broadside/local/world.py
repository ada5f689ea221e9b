"""What all parts of the embedded cloud share: its clock, its behaviour, its state folder and its snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from broadside.local.behaviour import Behaviour
from broadside.local.ebs.store import SnapshotStore

#: The account that every caller belongs to who does not say otherwise; moto's own default.
ACCOUNT_ID = "123456789012"


class Clock:
    """The cloud's time, which goes by ``scale`` times as fast as the wall clock's.

    Lifecycles (a copy, an import) are measured in the cloud's seconds.  Dates that are shown, and deadlines that the
    callers have to keep with real work, are the wall clock's.
    """

    def __init__(self, scale: float = 1.0, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self.scale = scale
        self._start = wall()

    def now(self) -> float:
        """The cloud's seconds."""
        return self._start + (self.wall() - self._start) * self.scale

    def date(self, seconds: float) -> datetime:
        """The wall clock's date (UTC) at the cloud's ``seconds``."""
        return datetime.fromtimestamp(self._start + (seconds - self._start) / self.scale, UTC)


@dataclass
class World:
    """One embedded cloud.  The blocks of snapshots lie in the folder ``state``; ``behaviour`` may change at any time."""

    state: Path
    behaviour: Behaviour
    clock: Clock
    account_id: str = ACCOUNT_ID
    snapshots: SnapshotStore = field(init=False)

    def __post_init__(self) -> None:
        self.snapshots = SnapshotStore(self.state / "blocks")

    def region_open(self, region: str) -> bool:
        """Whether calls to ``region`` are answered: it exists, and the account has opted into it where that is needed.

        AWS refuses the others: ``AuthFailure`` (EC2), ``UnrecognizedClientException`` (most other services).
        """
        spec = self.behaviour.region(region)
        return spec is not None and spec.enabled
