"""VMDK in one file: monolithicSparse and streamOptimized.  Source: VMware's "Virtual Disk Format 5.0", whose sections are
named here.

The redundant copies of the tables are not read.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from functools import partial
from typing import Any

from chalicelib.disks.reading import SECTOR, Extent, Mapped, Source, Tables, take
from chalicelib.errors import BadDisk

#: Section "Hosted Sparse Extents": SparseExtentHeader, which fills a sector.
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MAGIC = b"KDMV"
_ENTRIES = 512

#: Its flags.  The one for grains of zeros is of version 2, which came after the specification; all writers have it so.
_ZERO_GRAINS, _IS_COMPRESSED, _HAS_MARKERS = 1 << 2, 1 << 16, 1 << 17
_DEFLATE = 1
_AT_END = 0xFFFF_FFFF_FFFF_FFFF

#: Section "Stream-Optimized Compressed Sparse Extents": a grain's marker, and the other ones.
_GRAIN_MARKER = struct.Struct("<QI")
_MARKER = struct.Struct("<QII496x")
_END_OF_STREAM, _FOOTER = 0, 3

#: Section "Disk Descriptor File", embedded in the sectors from 1 on.
_DESCRIPTOR_SECTORS = 2048
_TYPES = {"monolithicSparse": False, "streamOptimized": True}


class Vmdk(Mapped):
    """The disk in a VMDK.

    Raises:
        BadDisk: it is none that is whole in this one file, or its header, descriptor or grain directory is damaged.
    """

    def __init__(self, source: Source) -> None:
        if source.read(0, len(_MAGIC)) != _MAGIC:
            raise BadDisk("The VMDK is not one sparse file: convert it with `qemu-img convert -O vmdk`.")
        header = _header(take(source, 0, SECTOR, "the header"))
        self._compressed = _check_descriptor(source, *header[5:7])
        if header[9] == _AT_END:
            header = _footer(source)
        _, version, flags, capacity, grain = header[:5]
        entries, directory, overhead, unclean, algorithm = header[7], *header[9:12], header[13]
        if not 1 <= version <= 3:
            raise BadDisk(f"The VMDK has version {version}: only 1 to 3 are known.")
        if unclean:
            raise BadDisk(
                "The VMDK was not closed properly: convert it with `qemu-img convert -O vmdk` and see whether it boots."
            )
        if entries != _ENTRIES or not 8 <= grain <= 4096 or grain & (grain - 1):
            raise BadDisk(f"The VMDK's header is damaged: {entries:,} entries in a table, or {grain:,} sectors in a grain.")
        marks = bool(flags & _IS_COMPRESSED), bool(flags & _HAS_MARKERS), algorithm == _DEFLATE
        if marks != (self._compressed,) * 3 or algorithm > _DEFLATE:
            raise BadDisk("The VMDK is damaged: its header and its descriptor do not agree on whether it is compressed.")
        if overhead * SECTOR > source.size:
            raise BadDisk("The VMDK is cut off: its tables alone would need a longer file.")
        super().__init__(source, capacity * SECTOR)
        self._zero_grains = bool(flags & _ZERO_GRAINS)
        self._grain, self._span = grain * SECTOR, grain * SECTOR * _ENTRIES
        size = -(-self.size // self._span) * 4
        self._directory = _numbers(take(source, directory * SECTOR, size, "the grain directory"))
        self._tables = Tables(source, _ENTRIES * 4, "a grain table")

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        for number in range(start // self._span, -(-end // self._span)):
            if place := self._directory[number]:
                first = number * self._span
                table = _numbers(self._tables.at(place * SECTOR))
                yield from self._in_table(table, first, max(start, first), min(end, first + self._span))

    def _in_table(self, table: array[int], first: int, start: int, end: int) -> Iterator[Extent]:
        """What a grain table says of the disk from ``start`` to ``end``; its own grains begin at ``first``."""
        for number in range((start - first) // self._grain, -(-(end - first) // self._grain)):
            place = table[number]
            if not place or (place == 1 and self._zero_grains):
                continue
            grain = first + number * self._grain
            begin, stop = max(start, grain), min(end, grain + self._grain)
            if self._compressed:
                yield self._packed(grain, place * SECTOR, begin, stop)
            else:
                yield Extent(begin, stop - begin, place * SECTOR + begin - grain, stop - begin)

    def _packed(self, grain: int, at: int, begin: int, stop: int) -> Extent:
        """A compressed grain.  Only its marker says how long it is: as many bytes are fetched as there can be."""
        longest = _GRAIN_MARKER.size + self._grain + self._grain // 1024 + SECTOR  # zlib.h, compressBound
        stored = min(longest, max(self.source.size - at, _GRAIN_MARKER.size))
        unpack = partial(_inflate, grain // SECTOR, min(self._grain, self.size - grain), self._grain)
        return Extent(begin, stop - begin, at, stored, unpack, begin - grain)


def _header(sector: bytes) -> tuple[Any, ...]:
    """The fields of a header or a footer."""
    fields = _HEADER.unpack_from(sector)
    if fields[0] != _MAGIC:
        raise BadDisk("The VMDK is damaged: there is no header where one belongs.")
    if fields[12] != b"\n \r\n":
        raise BadDisk("The VMDK's header is damaged: a transfer as text has changed the ends of its lines.")
    return fields


def _footer(source: Source) -> tuple[Any, ...]:
    """The header that counts where the one in front was written before the tables: with markers around it, at the end."""
    at = source.size - 3 * SECTOR
    marker, footer, end = (take(source, at + n * SECTOR, SECTOR, "the footer") for n in range(3))
    if at <= 0 or _MARKER.unpack(marker)[1:] != (0, _FOOTER) or _MARKER.unpack(end) != (0, 0, _END_OF_STREAM):
        raise BadDisk("The VMDK is cut off or damaged: it does not end in a footer.")
    return _header(footer)


def _check_descriptor(source: Source, at: int, sectors: int) -> bool:
    """Whether the descriptor says that the image is compressed.

    Raises:
        BadDisk: there is none, or it says that there are other files, or a type that is not read.
    """
    if at != 1 or not 1 <= sectors <= _DESCRIPTOR_SECTORS:
        raise BadDisk("The VMDK has no descriptor where one belongs: convert it with `qemu-img convert -O vmdk`.")
    text = take(source, at * SECTOR, sectors * SECTOR, "the descriptor").split(b"\0")[0].decode("latin-1")
    if _said(text, "parentCID") != ["ffffffff"] or "parentfilenamehint" in text.lower():
        raise BadDisk("The VMDK has a parent: flatten it with `qemu-img convert -O vmdk`.")
    if not any(re.fullmatch("[0-9a-f]{1,8}", value) for value in _said(text, "CID")[:1]):
        raise BadDisk("The VMDK is damaged: its descriptor has no content id.")
    kinds = _said(text, "createType")
    if len(kinds) != 1 or kinds[0] not in _TYPES:
        raise BadDisk(f"The VMDK has the type {ascii(kinds)[:60]}: only monolithicSparse and streamOptimized are read.")
    extents = re.findall(r"^(?:RW|RDONLY|NOACCESS) .*", text, re.MULTILINE)
    if len(extents) != 1 or not re.match(r'RW \d+ SPARSE "', extents[0]):
        raise BadDisk("The VMDK is not one sparse file: convert it with `qemu-img convert -O vmdk`.")
    return _TYPES[kinds[0]]


def _said(text: str, name: str) -> list[str]:
    """What a descriptor says of a name, each time that it says something."""
    found = re.findall(rf"^[ \t]*{name}[ \t]*=(.*)$", text, re.MULTILINE | re.IGNORECASE)
    return [value.strip().strip('"') for value in found]


def _numbers(table: bytes) -> array[int]:
    numbers = array("I", table)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _inflate(sector: int, wanted: int, grain: int, stored: bytes) -> bytes:
    """One compressed grain, marker and all.

    Args:
        sector: where it begins on the disk.
        wanted: how many bytes it must hold at least; the disk's last grain may stop at the disk's end.
    """
    said, length = _GRAIN_MARKER.unpack_from(stored)
    packed = stored[_GRAIN_MARKER.size :][:length]
    if said != sector or len(packed) != length:
        raise BadDisk(f"The VMDK is damaged: sector {sector:,} of the disk should lie where there is none of it.")
    decompressor = zlib.decompressobj()
    try:
        unpacked = decompressor.decompress(packed, grain + 1)
    except zlib.error as error:
        raise BadDisk(f"The VMDK is damaged: its grain at sector {sector:,} cannot be unpacked ({error}).") from error
    if not decompressor.eof or not wanted <= len(unpacked) <= grain:
        raise BadDisk(f"The VMDK is damaged: what is in its grain at sector {sector:,} is not one grain.")
    return unpacked
