"""Where blocks lie: one file for all snapshots, each distinct block once, zeros not at all.

Snapshots of one image in many Regions, copies of snapshots, and successive builds share almost all of their blocks.  Kept
by their SHA-256, they cost the disk what differs, and memory a few dozen bytes a block.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

#: The one block size of the EBS direct APIs, in bytes.
BLOCK_SIZE = 524_288
BLOCKS_PER_GIB = 2**30 // BLOCK_SIZE

ZEROS = bytes(BLOCK_SIZE)
ZEROS_DIGEST = hashlib.sha256(ZEROS).digest()


@dataclass
class _Slot:
    """A block's place in the file, counted in blocks, and how many snapshots' contents refer to it."""

    place: int
    references: int = 1


class BlockPool:
    """All blocks by their SHA-256 digest, in one file.  Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Start empty: what an earlier process left in ``path`` has lost its meaning."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        # Re-entrant: a content's finalizer may release its blocks in the thread that is in here.
        self._lock = threading.RLock()
        self._slots: dict[bytes, _Slot] = {}
        self._free: list[int] = []
        self._end = 0
        weakref.finalize(self, os.close, self._file)

    def put(self, digest: bytes, data: bytes) -> None:
        """Add one reference to the block of that ``digest``, storing its ``data`` if it is new."""
        if digest == ZEROS_DIGEST or self._refer(digest):
            return
        with self._lock:
            place = self._take_place()
        # Written before it is known to others, so that nobody reads a half-written block.
        _write(self._file, data, place * BLOCK_SIZE)
        with self._lock:
            if self._refer(digest):  # somebody else stored the same block meanwhile
                self._free.append(place)
            else:
                self._slots[digest] = _Slot(place)

    def retain(self, digests: Iterable[bytes]) -> None:
        """Add one reference to each of the blocks, which are all stored."""
        for digest in digests:
            self._refer(digest)

    def release(self, digests: Iterable[bytes]) -> None:
        """Take one reference from each of the blocks; the place of one that nobody refers to is used again."""
        with self._lock:
            for digest in digests:
                slot = self._slots.get(digest)
                if slot is None:  # zeros
                    continue
                slot.references -= 1
                if slot.references == 0:
                    del self._slots[digest]
                    self._free.append(slot.place)

    def get(self, digest: bytes) -> bytes:
        """The block's bytes.  Its caller holds a reference to it."""
        if digest == ZEROS_DIGEST:
            return ZEROS
        return os.pread(self._file, BLOCK_SIZE, self._slots[digest].place * BLOCK_SIZE)

    @property
    def stored(self) -> int:
        """How many distinct blocks the file holds."""
        return len(self._slots)

    def _refer(self, digest: bytes) -> bool:
        with self._lock:
            slot = self._slots.get(digest)
            if slot is not None:
                slot.references += 1
            return slot is not None

    def _take_place(self) -> int:
        if self._free:
            return self._free.pop()
        self._end += 1
        return self._end - 1


class Sealed(Exception):
    """The content is complete: no more blocks are taken."""


class Content:
    """The blocks of a snapshot by their index; it is shared by a snapshot and its copies.

    A block that was never written is the parent's, and without a parent it is not there.  Python's reference count is the
    count of who still needs the content: with the last snapshot that refers to it, its blocks are released.
    """

    def __init__(self, pool: BlockPool, parent: Content | None = None) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._parent = parent
        self._written: dict[int, bytes] = {}
        self._inherited: dict[int, bytes] = {}
        self.sealed = False
        #: Contents of one lineage can be compared block by block.
        self.lineage: object = parent.lineage if parent is not None else object()
        weakref.finalize(self, _release_all, pool, self._written, self._inherited)

    def put(self, index: int, digest: bytes, data: bytes) -> None:
        """Write the block at ``index``, over what may be there.

        Raises:
            Sealed: the content is complete.
        """
        self._pool.put(digest, data)
        with self._lock:
            accepted = not self.sealed
            useless = self._written.get(index) if accepted else digest
            if accepted:
                self._written[index] = digest
        if useless is not None:
            self._pool.release([useless])
        if not accepted:
            raise Sealed

    def seal(self, verify: Callable[[Content], None] | None = None) -> None:
        """Take no more blocks, and stand alone: the parent may be deleted from now on.

        ``verify`` may look at what was written and raise to leave the content open.
        """
        with self._lock:
            if self.sealed:
                return
            if verify is not None:
                verify(self)
            self.sealed = True
        if self._parent is not None:
            inherited = {index: digest for index, digest in self._parent.blocks().items() if index not in self._written}
            self._pool.retain(inherited.values())
            self._inherited.update(inherited)
            self._parent = None

    @property
    def count(self) -> int:
        """How many blocks are there, once it is sealed."""
        return len(self._written) + len(self._inherited)

    @property
    def written(self) -> int:
        """How many blocks were written to this content itself."""
        return len(self._written)

    def written_checksum(self) -> bytes:
        """The LINEAR aggregate: SHA-256 over the digests of the written blocks in the order of their index."""
        return hashlib.sha256(b"".join(digest for _, digest in sorted(self._written.items()))).digest()

    def blocks(self) -> dict[int, bytes]:
        """The digest of every block that is there, in the order of the index."""
        parents = self._parent.blocks() if self._parent is not None else {}
        return dict(sorted((parents | self._inherited | self._written).items()))

    def digest(self, index: int) -> bytes | None:
        """The SHA-256 of the block at ``index``, or None when there is none."""
        return self._written.get(index) or self._inherited.get(index)

    def read(self, digest: bytes) -> bytes:
        """The bytes of one of this content's blocks."""
        return self._pool.get(digest)


def _write(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _release_all(pool: BlockPool, *digests: dict[int, bytes]) -> None:
    for mapping in digests:
        pool.release(mapping.values())
