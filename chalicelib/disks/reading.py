"""What all disk formats share: random access to a file, and a disk whose bytes lie scattered in one."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from chalicelib.errors import BadDisk

SECTOR = 512

#: The largest disk that is taken: what the shards of a snapshot can hold, 1,000 of them with 256 blocks of 512 KiB each.
MAX_DISK = 1000 * 256 * 512 * 1024

#: Bytes that are fetched from the file in one go, and how many that nobody asked for are fetched along with them because a
#: request of its own for what comes behind them would take longer.
RUN = 8 * 1024 * 1024
GAP = 64 * 1024

#: Bytes of tables that are kept.
KEPT = 16 * 1024 * 1024


class Source(Protocol):
    """Random access to a file: an object in S3 by range, or a file on this machine."""

    @property
    def size(self) -> int:
        """The file's bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset`` on; never asked for bytes behind the end."""


class Disk(Protocol):
    """A raw disk, whatever file it is kept in.  Not for two threads at once."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on, fewer at the disk's end; zeros where the file holds nothing.

        Raises:
            BadDisk: the file's tables, or the packed data in it, are damaged there.
        """

    def check(self) -> None:
        """Read every table, but no data: a fault in them shows before anything of the disk is used.

        Raises:
            BadDisk: a table is damaged.
        """


class LocalFile:
    """A file on this machine, open until it is closed.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise BadDisk("The image has become shorter while it was read.")
        return data


class Extent(NamedTuple):
    """Where ``length`` bytes of the disk from ``start`` on lie: in ``stored`` bytes of the file from ``at`` on.

    ``unpack`` makes a unit of the disk of what is stored, the ``skip``-th byte of which is the first one of these; None where
    the bytes are stored as they are.
    """

    start: int
    length: int
    at: int
    stored: int
    unpack: Callable[[bytes], bytes] | None = None
    skip: int = 0


class Mapped:
    """A disk whose format says where each range of it lies in the file; what it does not name is zeros."""

    def __init__(self, source: Source, size: int) -> None:
        check_size(size)
        self.source = source
        self.size = size

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        """The parts of the disk from ``start`` to ``end``, which is behind it, that lie in the file, in order."""
        raise NotImplementedError

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        data = bytearray(end - offset)
        for run in runs(self._within(self.extents(offset, end))):
            first, last = run[0].at, max(extent.at + extent.stored for extent in run)
            fetched = memoryview(self.source.read(first, last - first))
            for extent in run:
                stored = fetched[extent.at - first :][: extent.stored]
                unit = extent.unpack(bytes(stored)) if extent.unpack else stored
                at = extent.start - offset
                data[at : at + extent.length] = unit[extent.skip : extent.skip + extent.length]
        return bytes(data)

    def check(self) -> None:
        for _ in self._within(self.extents(0, self.size)):
            pass

    def _within(self, extents: Iterable[Extent]) -> Iterator[Extent]:
        for extent in extents:
            if extent.at + extent.stored > self.source.size:
                raise BadDisk(
                    f"The image is cut off or damaged: byte {extent.start:,} of the disk would lie at byte {extent.at:,} of "
                    f"the file, which has only {self.source.size:,}."
                )
            yield extent


class Flat(Mapped):
    """A disk that lies in the file as it is, from the first byte on."""

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        yield Extent(start, end - start, start, end - start)


def runs(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """What is fetched together: extents that lie close to each other in the file, up to :data:`RUN` bytes."""
    run: list[Extent] = []
    first = last = 0
    for extent in sorted(_pieces(extents), key=lambda extent: extent.at):
        if run and extent.at <= last + GAP and extent.at + extent.stored <= first + RUN:
            run.append(extent)
            last = max(last, extent.at + extent.stored)
        else:
            if run:
                yield run
            run, first, last = [extent], extent.at, extent.at + extent.stored
    if run:
        yield run


def _pieces(extents: Iterable[Extent]) -> Iterator[Extent]:
    """The extents, those that are too long for one run cut."""
    for extent in extents:
        if extent.unpack or extent.length <= RUN:
            yield extent
            continue
        for done in range(0, extent.length, RUN):
            length = min(RUN, extent.length - done)
            yield Extent(extent.start + done, length, extent.at + done, length)


def take(source: Source, at: int, length: int, what: str) -> bytes:
    """Bytes of the file that hold ``what``.

    Raises:
        BadDisk: the file ends before.
    """
    if at + length > source.size:
        raise BadDisk(
            f"The image is cut off or damaged: {what} would reach to byte {at + length:,} of the file, which has only "
            f"{source.size:,}."
        )
    return source.read(at, length)


class Tables:
    """Tables of ``length`` bytes each, by where they lie in the file.  Those used last are kept."""

    def __init__(self, source: Source, length: int, what: str) -> None:
        self._source, self._length, self._what = source, length, what
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def at(self, place: int) -> bytes:
        """The table there.

        Raises:
            BadDisk: the file ends before.
        """
        if place not in self._kept:
            self._kept[place] = take(self._source, place, self._length, self._what)
            if len(self._kept) > max(2, KEPT // self._length):
                self._kept.popitem(last=False)
        self._kept.move_to_end(place)
        return self._kept[place]


def check_size(size: int) -> None:
    """See that a disk of ``size`` bytes can be published.

    Raises:
        BadDisk: it cannot.
    """
    if size <= 0:
        raise BadDisk("The image holds an empty disk.")
    if size > MAX_DISK:
        raise BadDisk(f"The image's disk has {size:,} bytes, but {MAX_DISK:,} (125 GiB) is the most that is published.")


def check_sectors(size: int) -> None:
    """See that ``size``, which an image's header says, is whole sectors.

    Raises:
        BadDisk: it is not.
    """
    if size % SECTOR:
        raise BadDisk(f"The image's header says that the disk has {size:,} bytes, which are not whole sectors of {SECTOR}.")
