"""qcow2, versions 2 and 3.  Source: QEMU's docs/interop/qcow2.txt, whose sections are named here.

Only what decides a byte of the disk is read: the header, the L1 table and the L2 tables.  Refcounts are not: two clusters of
the disk that lie in one place of the file, which only damage can bring about, read the same, as they do with QEMU.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import partial

from chalicelib.disks.packed import ZstdError, zstd_decompressor
from chalicelib.disks.reading import SECTOR, Extent, Mapped, Source, Tables, check_sectors, take
from chalicelib.errors import BadDisk

MAGIC = b"QFI\xfb"

#: Section "Header": the fields of version 2, and those that version 3 adds, compression_type among them.
_VERSION_2 = struct.Struct(">4sIQIIQIIQQIIQ")
_VERSION_3 = struct.Struct(">QQQIIB")

#: Section "Header", incompatible_features: why an image with that bit is refused.
_REFUSED = {
    0: "was not closed properly: repair it with `qemu-img check -r all`",
    1: "is marked as corrupt: repair it with `qemu-img check -r all`, and see whether it still boots",
    2: "keeps its data in another file: convert it with `qemu-img convert -O qcow2`",
    4: "has extended L2 entries: convert it with `qemu-img convert -O qcow2`",
}
_OTHER_COMPRESSION = 1 << 3

#: autoclear_features: says something of the other file that the third of the bits above speaks of.
_RAW_DATA_FILE = 1 << 1

#: Section "Cluster mapping": the bits of an entry that are an offset, and those that must be zero.
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_L1_RESERVED = 0x7F00_0000_0000_01FF
_L2_RESERVED = 0x3F00_0000_0000_01FE
_MOST_L1_ENTRIES = 1 << 22  # QEMU's own limit
_ALLOCATED, _COMPRESSED, _ZERO = 1 << 63, 1 << 62, 1


class Qcow2(Mapped):
    """The disk in a qcow2 image.

    Raises:
        BadDisk: the header or the L1 table is damaged, or the disk is not in this file alone.
    """

    def __init__(self, source: Source) -> None:
        header = _VERSION_2.unpack(take(source, 0, _VERSION_2.size, "the header"))
        _, self._version, backing, _, bits, size, encryption, l1_size, l1_at = header[:9]
        refcounts_at, refcounts, snapshots, snapshots_at = header[9:]
        if self._version not in (2, 3):
            raise BadDisk(f"The qcow2 image has version {self._version}: only 2 and 3 are known.")
        if not 12 <= bits <= 21:  # smaller ones are allowed, but each table would describe little, and a disk need millions
            raise BadDisk(
                f"The qcow2 image has clusters of 2**{bits} bytes, and 2**12 to 2**21 are read: convert it with `qemu-img`."
            )
        if backing:
            raise BadDisk("The qcow2 image has a backing file: flatten it with `qemu-img convert -O qcow2`.")
        if encryption:
            raise BadDisk("The qcow2 image is encrypted: decrypt it with `qemu-img convert`.")
        if snapshots:
            raise BadDisk("The qcow2 image has snapshots in it: leave them out with `qemu-img convert -O qcow2`.")
        self._bits, self._cluster = bits, 1 << bits
        self._inflate = _INFLATE[self._compression(source)]
        check_sectors(size)
        super().__init__(source, size)
        for what, at in (("L1", l1_at), ("refcount", refcounts_at), ("snapshot", snapshots_at)):
            if at % self._cluster:
                raise BadDisk(f"The qcow2 image's header is damaged: the {what} table would begin within a cluster.")
        if not refcounts or max(refcounts_at + refcounts * self._cluster, snapshots_at) > source.size:
            raise BadDisk("The qcow2 image is cut off, or its header damaged: there are tables behind the end of the file.")
        self._span = self._cluster * self._cluster // 8
        self._l1 = self._load_l1(l1_at, l1_size)
        self._tables = Tables(source, self._cluster, "an L2 table")

    def _compression(self, source: Source) -> int:
        """The compression type, after a look at all features."""
        if self._version == 2:
            return 0
        fields = _VERSION_3.unpack(take(source, _VERSION_2.size, _VERSION_3.size, "the header"))
        features, _, autoclear, refcount_order, length, compression = fields
        for bit, why in _REFUSED.items():
            if features >> bit & 1:
                raise BadDisk(f"The qcow2 image {why}.")
        if autoclear & _RAW_DATA_FILE:
            raise BadDisk("The qcow2 image's header is damaged: it tells of another file with its data, and of none.")
        if features & ~_OTHER_COMPRESSION:
            raise BadDisk(f"The qcow2 image has features that are not known here: {features:#x}.")
        if not 104 <= length <= self._cluster or length % 8 or refcount_order > 6:
            raise BadDisk("The qcow2 image's header is damaged: its length or its refcounts' width is none that can be.")
        compression = compression if length > 104 else 0
        if compression not in _INFLATE or bool(compression) != bool(features & _OTHER_COMPRESSION):
            raise BadDisk(f"The qcow2 image has a compression that is not known here, or none at all: type {compression}.")
        self._check_extensions(source, length)
        return int(compression)

    def _check_extensions(self, source: Source, at: int) -> None:
        """Section "Header extensions": none matters here, but that they end within the first cluster says that all is well."""
        area = take(source, 0, min(self._cluster, source.size), "the header")
        while at + 8 <= len(area):
            kind, length = struct.unpack_from(">II", area, at)
            if not kind:
                return
            at += 8 + -(-length // 8) * 8
            if at > len(area):
                raise BadDisk("The qcow2 image's header is damaged: an extension of it does not fit into the first cluster.")

    def _load_l1(self, at: int, entries: int) -> array[int]:
        """The part of the L1 table that the disk needs: at most 64,000 entries."""
        needed = -(-self.size // self._span)
        if not needed <= entries <= _MOST_L1_ENTRIES or not at:
            raise BadDisk(
                f"The qcow2 image's header is damaged: its L1 table has {entries:,} entries, but {needed:,} are needed."
            )
        return _numbers(take(self.source, at, needed * 8, "the L1 table"))

    def extents(self, start: int, end: int) -> Iterator[Extent]:
        for number in range(start // self._span, -(-end // self._span)):
            entry = self._l1[number]
            at = entry & _OFFSET
            if entry & _L1_RESERVED or at % self._cluster:
                raise BadDisk(f"The qcow2 image's L1 table is damaged: its entry {number:,} is {entry:#x}.")
            if at:
                first = number * self._span
                yield from self._in_table(at, first, max(start, first), min(end, first + self._span))

    def _in_table(self, at: int, first: int, start: int, end: int) -> Iterator[Extent]:
        """What the L2 table at ``at`` says of the disk from ``start`` to ``end``; its own clusters begin at ``first``."""
        table = _numbers(self._tables.at(at))
        for number in range((start - first) >> self._bits, -(-(end - first) >> self._bits)):
            entry = table[number]
            if not entry:
                continue
            cluster = first + (number << self._bits)
            begin, stop = max(start, cluster), min(end, cluster + self._cluster)
            extent = self._extent(entry, begin, stop - begin, begin - cluster)
            if extent is not None:
                yield extent

    def _extent(self, entry: int, begin: int, length: int, skip: int) -> Extent | None:
        """Where the bytes of one cluster lie by its L2 entry; None where they are zeros."""
        if entry & _COMPRESSED:
            shift = 62 - (self._bits - 8)
            at = entry & ((1 << shift) - 1)
            sectors = (entry >> shift & ((1 << (self._bits - 8)) - 1)) + 1
            # The last cluster's sectors may reach behind the end of the file, as the packed data fill only part of them.
            stored = min(sectors * SECTOR - at % SECTOR, max(self.source.size - at, 1))
            return Extent(begin, length, at, stored, partial(_unpack, self._inflate, self._cluster), skip)
        at = entry & _OFFSET
        damaged = entry & _L2_RESERVED or at % self._cluster or (entry & _ALLOCATED and not at)
        if damaged or (entry & _ZERO and self._version == 2):
            raise BadDisk(f"The qcow2 image is damaged: the L2 entry of byte {begin:,} of the disk is {entry:#x}.")
        return None if entry & _ZERO else Extent(begin, length, at + skip, length)


def _numbers(table: bytes) -> array[int]:
    numbers = array("Q", table)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _unpack(inflate: Callable[[bytes, int], bytes], cluster: int, stored: bytes) -> bytes:
    """One compressed cluster.

    Raises:
        BadDisk: what is stored does not make exactly one.
    """
    try:
        unpacked = inflate(stored, cluster)
    except (zlib.error, ZstdError, EOFError) as error:
        raise BadDisk(f"The qcow2 image is damaged: a compressed cluster cannot be unpacked ({error}).") from error
    if len(unpacked) != cluster:
        raise BadDisk("The qcow2 image is damaged: what is in a compressed cluster is not one cluster of the disk.")
    return unpacked


def _zlib(stored: bytes, cluster: int) -> bytes:
    """Deflate without a header; QEMU itself takes a window of 4 KiB only."""
    return zlib.decompressobj(-12).decompress(stored, cluster + 1)


def _zstd(stored: bytes, cluster: int) -> bytes:
    """One frame; behind it, in its last sector, may be anything."""
    decompressor = zstd_decompressor()
    unpacked = decompressor.decompress(stored, cluster + 1)
    if not decompressor.eof:
        raise EOFError("it does not end where it should")
    return unpacked


#: Section "Additional fields": by compression_type.
_INFLATE: dict[int, Callable[[bytes, int], bytes]] = {0: _zlib, 1: _zstd}
