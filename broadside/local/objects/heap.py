"""Bytes on disk that never change: written once to the end of one file, shared by whoever copies or joins them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Bytes that are read at a time when the whole is wanted.
CHUNK = 1 << 20


class Heap:
    """One file that only grows.  Its space comes back when the embedded cloud ends.  Safe for threads."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._lock = threading.Lock()
        self._end = 0

    def store(self, content: bytes) -> Content:
        with self._lock:
            offset = self._end
            self._end += len(content)
        view = memoryview(content)
        written = 0
        while written < len(view):
            written += os.pwrite(self._descriptor, view[written:], offset + written)
        return Content(self, (Segment(offset, len(content)),) if content else ())

    def read(self, offset: int, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = os.pread(self._descriptor, length - len(parts), offset + len(parts))
            if not part:
                raise OSError("the file of objects is shorter than it was")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True)
class Segment:
    """A place in the heap: where it begins, and its length, in bytes."""

    offset: int
    length: int


class Content:
    """The bytes of an object: has a length, can be sliced (without a step) and iterated in chunks, like bytes read lazily."""

    def __init__(self, heap: Heap, segments: tuple[Segment, ...]) -> None:
        self._heap = heap
        self._segments = segments
        self._length = sum(segment.length for segment in segments)

    def __deepcopy__(self, _memo: dict[int, object]) -> Content:
        """Bytes that never change need no copy; moto makes one of every version that it lists."""
        return self

    @classmethod
    def join(cls, heap: Heap, contents: list[Content]) -> Content:
        """One after the other, without copying."""
        return cls(heap, tuple(segment for content in contents for segment in content._segments))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, wanted: slice) -> bytes:
        start, stop, step = wanted.indices(self._length)
        if step != 1:
            raise ValueError("content is read forwards")
        return b"".join(self._heap.read(part.offset, part.length) for part in self._between(start, stop))

    def part(self, start: int, stop: int) -> Content:
        """The bytes from ``start`` to before ``stop``, without copying."""
        return Content(self._heap, tuple(self._between(start, min(stop, self._length))))

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, self._length, CHUNK):
            yield self[start : start + CHUNK]

    def _between(self, start: int, stop: int) -> Iterator[Segment]:
        begin = 0
        for segment in self._segments:
            first, last = max(start, begin), min(stop, begin + segment.length)
            if first < last:
                yield Segment(segment.offset + first - begin, last - first)
            begin += segment.length

    def md5(self) -> str:
        """In hex; S3's ETag of what was not uploaded in parts."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self:
            digest.update(chunk)
        return digest.hexdigest()
