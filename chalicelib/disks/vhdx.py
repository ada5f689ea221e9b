"""VHDX.  Source: [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format", whose sections are named here."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple
from uuid import UUID

from chalicelib.disks.reading import Extent, Mapped, Source, check_sectors, take
from chalicelib.errors import BadDisk

KIB, MIB = 1024, 1024 * 1024

#: Section 2.2.2, headers: two, of which the one with the higher number counts.
_HEADERS = (64 * KIB, 128 * KIB)
_HEADER_SIZE = 4 * KIB
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")

#: Section 2.2.3, region tables: two that are the same.
_REGIONS = (192 * KIB, 256 * KIB)
_REGION_TABLE_SIZE = 64 * KIB
_REGION_TABLE = struct.Struct("<4sIII")
_REGION = struct.Struct("<16sQII")
_BAT = UUID("2DC27766-F623-4200-9D64-115E9BFD4A08")
_METADATA = UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")

#: Section 2.6, metadata.
_METADATA_TABLE_SIZE = 64 * KIB
_METADATA_TABLE = struct.Struct("<8sHH20x")
_ITEM = struct.Struct("<16sIIII")
_IS_REQUIRED = 4
_FILE_PARAMETERS = UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
_DISK_SIZE = UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
_LOGICAL_SECTOR = UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
_PHYSICAL_SECTOR = UUID("CDA348C7-445D-4471-9CC9-E9885251C556")
_PAGE_83 = UUID("BECA12AB-B2E6-4523-93EF-C309E000C746")
_PARENT = UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")
_HAS_PARENT = 2

#: Section 2.5.1, the states of a payload block.  What is in one that is undefined or unmapped is for the reader to say: zeros,
#: as QEMU has it.
_ZEROS, _PRESENT = (0, 1, 2, 3), 6


class Region(NamedTuple):
    """A range of the file."""

    at: int
    length: int

    def overlaps(self, other: Region) -> bool:
        return self.at < other.at + other.length and other.at < self.at + self.length


class Vhdx(Mapped):
    """The disk in a VHDX.

    Raises:
        BadDisk: it has a parent or a log to be replayed, or a header or table is damaged.
    """

    def __init__(self, source: Source) -> None:
        regions = _regions(source)
        self._taken = (Region(0, MIB), _check_headers(source), *regions.values())
        if any(one.overlaps(other) for one, other in combinations(self._taken, 2)):
            raise BadDisk("The VHDX is damaged: its log, its block table or its metadata are in each other's place.")
        self._block, size = _parameters(source, regions[_METADATA])
        check_sectors(size)
        super().__init__(source, size)
        #: Section 2.5: after so many entries for payload blocks comes one for a sector bitmap, which only a child needs.
        self._chunk = (1 << 23) * 512 // self._block
        blocks = -(-size // self._block)
        entries = blocks + (blocks - 1) // self._chunk
        if regions[_BAT].length < entries * 8:
            raise BadDisk(f"The VHDX is damaged: its block table has no room for {entries:,} entries.")
        self._table = array("Q", take(source, regions[_BAT].at, entries * 8, "the block table"))
        if sys.byteorder == "big":
            self._table.byteswap()

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        for number in range(start // self._block, -(-end // self._block)):
            entry = self._table[number + number // self._chunk]
            state, at = entry & 7, entry >> 20 << 20
            if state in _ZEROS:
                continue
            taken = any(region.overlaps(Region(at, self._block)) for region in self._taken)
            if state != _PRESENT or taken or at + self._block > self.source.size:
                raise BadDisk(f"The VHDX is damaged: the entry of its block {number:,} is {entry:#x}.")
            first = number * self._block
            begin, stop = max(start, first), min(end, first + self._block)
            yield Extent(begin, stop - begin, at + begin - first, stop - begin)


def _check_headers(source: Source) -> Region:
    """Where the log is, from the header that counts.

    Raises:
        BadDisk: there is no valid header, or there is something in the log.
    """
    valid: dict[int, bytes] = {}
    for place in _HEADERS:
        data = take(source, place, _HEADER_SIZE, "the header")
        signature, said, sequence = _HEADER.unpack_from(data)[:3]
        if signature == b"head" and said == crc32c(data) and valid.setdefault(sequence, data) != data:
            raise BadDisk("The VHDX is damaged: its two headers have the same number and differ.")
    if not valid:
        raise BadDisk("The VHDX is damaged: neither of its headers has the right checksum.")
    log_id, _, version, log_length, log_at = _HEADER.unpack_from(valid[max(valid)])[5:]
    if version != 1:
        raise BadDisk(f"The VHDX has version {version}: only 1 is known.")
    if any(log_id):
        raise BadDisk("The VHDX was not closed properly, its log is not empty: attach it once, or convert it.")
    if log_at % MIB or log_length % MIB or log_at + log_length > source.size:
        raise BadDisk("The VHDX is damaged: its log is not where it can be.")
    return Region(log_at, log_length)


def _regions(source: Source) -> dict[UUID, Region]:
    """The block table's region and the metadata's.

    Raises:
        BadDisk: there is a region that must be known and is not, or one is not there, or twice.
    """
    data, copy = (take(source, place, _REGION_TABLE_SIZE, "the region table") for place in _REGIONS)
    signature, said, count, _ = _REGION_TABLE.unpack_from(data)
    if signature != b"regi" or said != crc32c(data) or data != copy or count > 2047:
        raise BadDisk("The VHDX is damaged: its region tables differ, or have a wrong checksum.")
    found: dict[UUID, Region] = {}
    for number in range(count):
        name, at, length, required = _REGION.unpack_from(data, _REGION_TABLE.size + number * _REGION.size)
        region = UUID(bytes_le=name)
        if region in (_BAT, _METADATA) and region not in found and at >= MIB and not at % MIB and at + length <= source.size:
            found[region] = Region(at, length)
        elif required or region in found:
            raise BadDisk(f"The VHDX is damaged, or not understood: its region {region} is unknown, or there twice.")
    if len(found) != 2:
        raise BadDisk("The VHDX is damaged: its block table or its metadata are missing, or outside the file.")
    return found


def _parameters(source: Source, region: Region) -> tuple[int, int]:
    """The bytes of a block and of the disk.

    Raises:
        BadDisk: they are missing or cannot be, or the disk has a parent, or there is metadata that must be known and is not.
    """
    if region.length < _METADATA_TABLE_SIZE:
        raise BadDisk("The VHDX is damaged: its metadata have no room.")
    items = _items(take(source, region.at, _METADATA_TABLE_SIZE, "the metadata"))
    if set(_KNOWN) - set(items):
        raise BadDisk("The VHDX is damaged: some of its metadata are missing.")

    def value(item: UUID, form: str) -> tuple[int, ...]:
        at, length = items[item]
        if length != struct.calcsize(form) or at < _METADATA_TABLE_SIZE or at + length > region.length:
            raise BadDisk("The VHDX is damaged: an item of its metadata is not where it can be.")
        return struct.unpack(form, take(source, region.at + at, length, "the metadata"))

    block, flags = value(_FILE_PARAMETERS, "<II")
    (size,), (logical,) = value(_DISK_SIZE, "<Q"), value(_LOGICAL_SECTOR, "<I")
    if flags & _HAS_PARENT or _PARENT in items:
        raise BadDisk("The VHDX has a parent: merge it, or flatten it with `qemu-img convert -O vhdx`.")
    if not MIB <= block <= 256 * MIB or block & (block - 1):
        raise BadDisk(f"The VHDX is damaged: its blocks would have {block:,} bytes.")
    if logical != 512:
        raise BadDisk(f"The VHDX has sectors of {logical:,} bytes, but volumes of EC2 have 512: nothing could boot from it.")
    return block, size


_KNOWN = (_FILE_PARAMETERS, _DISK_SIZE, _LOGICAL_SECTOR, _PHYSICAL_SECTOR, _PAGE_83)


def _items(table: bytes) -> dict[UUID, tuple[int, int]]:
    """Offset in the region and length of each item of the metadata."""
    signature, _, count = _METADATA_TABLE.unpack_from(table)
    if signature != b"metadata" or count > 2047:
        raise BadDisk("The VHDX is damaged: there are no metadata where they should be.")
    found: dict[UUID, tuple[int, int]] = {}
    for number in range(count):
        name, at, length, flags, _ = _ITEM.unpack_from(table, _METADATA_TABLE.size + number * _ITEM.size)
        item = UUID(bytes_le=name)
        if item in found or (item not in (*_KNOWN, _PARENT) and flags & _IS_REQUIRED):
            raise BadDisk(f"The VHDX is damaged, or not understood: its metadata item {item} is there twice, or unknown.")
        found[item] = at, length
    return found


def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C of a structure whose bytes 4 to 7 are that checksum (section 2.2.2: computed with zeros there)."""
    value = 0xFFFF_FFFF
    for byte in data[:4] + bytes(4) + data[8:]:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF_FFFF
