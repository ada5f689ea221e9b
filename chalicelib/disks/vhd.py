"""VHD, fixed and dynamic.  Source: Microsoft's "Virtual Hard Disk Image Format Specification" 1.0, whose sections are named.

A block's sector bitmap is not read: in a disk without a parent it says where nothing was ever written, and there are zeros in
the block then.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

from chalicelib.disks.reading import MAX_DISK, SECTOR, Disk, Extent, Flat, Mapped, Source, check_sectors, take
from chalicelib.errors import BadDisk

#: Section "Hard Disk Footer Format": the fields up to the checksum, and the saved state behind the unique id.
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
_COOKIE = b"conectix"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_FOOTER_CHECKSUM = 64

#: Section "Dynamic Disk Header Format".
_HEADER = struct.Struct(">8sQQIIII")
_HEADER_SIZE = 1024
_HEADER_CHECKSUM = 36
_NOWHERE = 0xFFFF_FFFF

#: Who writes the disk's true size as its cylinders, heads and sectors, while the size beside them may be rounded up: Virtual
#: PC and old QEMU.  The largest geometry says nothing: it is what larger disks have, too.
_BY_GEOMETRY = (b"vpc ", b"qemu")
_LARGEST_GEOMETRY = 65535 * 16 * 255

#: Blocks are 512 KiB or 2 MiB in practice; with smaller ones than this the table would fill the memory.
_SMALLEST_BLOCK = 64 * 1024


def open_vhd(source: Source) -> Disk:
    """The disk in a VHD.

    Raises:
        BadDisk: it has a parent, or its footer, header or block table is damaged.
    """
    footer = take(source, max(0, source.size - SECTOR), SECTOR, "the footer")
    fields = _FOOTER.unpack_from(footer)
    if fields[0] != _COOKIE or checksum(footer, _FOOTER_CHECKSUM) != fields[14]:
        raise BadDisk("The VHD is cut off or damaged: it does not end in a footer with the right checksum.")
    version, header_at, kind, saved = fields[2], fields[3], fields[13], fields[16]
    if version >> 16 != 1:
        raise BadDisk(f"The VHD has version {version >> 16}: only 1 is known.")
    if saved:
        raise BadDisk("The VHD belongs to a machine in saved state: shut it down first.")
    size = _size(fields)
    if kind == _FIXED:
        return _fixed(source, size)
    if kind == _DYNAMIC:
        if take(source, 0, SECTOR, "the footer's copy") != footer:
            raise BadDisk("The VHD is damaged, or was not closed properly: its footer and the copy in front differ.")
        return DynamicVhd(source, size, header_at)
    if kind == _DIFFERENCING:
        raise BadDisk("The VHD has a parent: merge it, or flatten it with `qemu-img convert -O vpc`.")
    raise BadDisk(f"The VHD has the type {kind}: only fixed (2) and dynamic (3) disks are read.")


def _size(footer: tuple[Any, ...]) -> int:
    """The disk's bytes; it depends on who wrote the footer."""
    creator, size, cylinders, heads, sectors = footer[5], int(footer[9]), *footer[10:13]
    check_sectors(size)
    geometry = int(cylinders * heads * sectors)
    return geometry * SECTOR if creator in _BY_GEOMETRY and geometry != _LARGEST_GEOMETRY else size


def _fixed(source: Source, size: int) -> Flat:
    if source.read(0, len(_COOKIE)) == _COOKIE:
        raise BadDisk("The VHD is damaged: it is said to be fixed, but begins as a dynamic one.")
    if size > source.size - SECTOR:
        raise BadDisk(f"The VHD is cut off: its disk has {size:,} bytes, but there are only {source.size - SECTOR:,}.")
    return Flat(source, size)


class DynamicVhd(Mapped):
    """The disk in a dynamic VHD.  The block table has at most 8 MiB."""

    def __init__(self, source: Source, size: int, header_at: int) -> None:
        super().__init__(source, size)
        header = take(source, header_at, _HEADER_SIZE, "the dynamic disk's header")
        cookie, _, table_at, version, entries, block, said = _HEADER.unpack_from(header)
        if cookie != b"cxsparse" or checksum(header, _HEADER_CHECKSUM) != said:
            raise BadDisk("The VHD is damaged: the checksum of its dynamic disk's header is wrong, or there is none.")
        if version >> 16 != 1 or block < _SMALLEST_BLOCK or block & (block - 1):
            raise BadDisk(f"The VHD has version {version >> 16}, and blocks of {block:,} bytes, which is not read here.")
        if not -(-size // block) <= entries <= MAX_DISK // _SMALLEST_BLOCK:
            raise BadDisk(f"The VHD is damaged: its block table has {entries:,} entries, each for {block:,} bytes.")
        self._block = block
        self._bitmap = -(-block // SECTOR // 8 // SECTOR) * SECTOR
        self._table = array("I", take(source, table_at, entries * 4, "the block table"))
        if sys.byteorder == "little":
            self._table.byteswap()
        last = max((place for place in self._table if place != _NOWHERE), default=0)
        if last and last * SECTOR + self._bitmap + block > source.size - SECTOR:
            raise BadDisk(f"The VHD is cut off or damaged: a block of it would lie at byte {last * SECTOR:,} of the file.")

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        for number in range(start // self._block, -(-end // self._block)):
            place = self._table[number]
            if place != _NOWHERE:
                first = number * self._block
                begin, stop = max(start, first), min(end, first + self._block)
                yield Extent(begin, stop - begin, place * SECTOR + self._bitmap + begin - first, stop - begin)


def checksum(data: bytes, at: int) -> int:
    """The complement of the sum of all bytes but the checksum's own four."""
    return ~(sum(data) - sum(data[at : at + 4])) & 0xFFFF_FFFF
