"""The journal of calls: in memory to be asked, and as JSON lines in the state folder to be read afterwards."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One call.  ``time`` is ISO 8601 in UTC; ``status`` is 0 for a call that was never answered."""

    n: int
    time: str
    caller: str
    service: str
    action: str
    region: str
    mutating: bool
    status: int
    #: What the behaviour did to it: "", "throttled", "region", "iam", or the kind of fault.
    trouble: str


class Journal:
    """Counts and keeps calls.  Safe for threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._count = 0
        self._file = file.open("a", buffering=1)

    def number(self) -> int:
        """The number of the next call."""
        with self._lock:
            self._count += 1
            return self._count

    def add(self, entry: Entry) -> None:
        line = json.dumps(asdict(entry))
        with self._lock:
            self._entries.append(entry)
            self._file.write(line + "\n")

    def reset(self) -> None:
        """Forget what was; the file keeps it."""
        with self._lock:
            self._entries.clear()
            self._count = 0

    def find(self, *, after: int = 0, **wanted: str) -> list[dict[str, Any]]:
        """The calls after number ``after`` whose fields equal ``wanted`` (as text; booleans as true and false), in order."""
        with self._lock:
            entries = sorted(self._entries, key=lambda entry: entry.n)
        return [
            found
            for found in map(asdict, entries)
            if found["n"] > after and all(str(found[field]).lower() == value.lower() for field, value in wanted.items())
        ]

    def close(self) -> None:
        self._file.close()
