"""A real raw disk image, made on the spot: no root, no network, no other program.

::

    sector  0        protective MBR
            1 - 33   GPT header and its 128 entries
         2048        EFI system partition, 16 MiB: FAT16
        34816        root partition, up to the last MiB: FAT16 with a release file and pseudo-random data
         last 33     the GPT again, header last

The same seed and sizes give the same bytes.  Sources: UEFI specification 2.10, chapter 5 (GPT); Microsoft's "FAT: General
Overview of On-Disk Format" 1.03.  Only what such a disk needs is here: short (8.3) names, files that lie in one piece.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

SECTOR = 512
MIB = 1024 * 1024
_ALIGNMENT = MIB // SECTOR  # partitions begin at a MiB, in sectors

_ESP_START = _ALIGNMENT
_ESP_SECTORS = 16 * _ALIGNMENT
_ROOT_START = _ESP_START + _ESP_SECTORS

_TYPE_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_TYPE_LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

#: Where bytes lie on the disk: what is not named by any piece is a hole, and reads as zeros.
Piece: TypeAlias = tuple[int, bytes]
#: A folder: names of the form 8.3 in capitals, each a file's content or a folder.
Folder: TypeAlias = Mapping[str, "bytes | Folder"]


def make_disk(path: Path, *, size: int = 64 * MIB, data: int = 4 * MIB, seed: str = "broadside") -> None:
    """Write a disk image of ``size`` bytes to ``path``, sparse, with about ``data`` bytes of pseudo-random files.

    Raises:
        ValueError: ``size`` is no whole number of MiB from 24 MiB to 2 GiB, or ``data`` does not fit.
    """
    if size % MIB or not 24 * MIB <= size <= 2048 * MIB:
        raise ValueError(f"A disk of {size} bytes cannot be made: choose a whole number of MiB from 24 MiB to 2 GiB.")
    sectors = size // SECTOR
    root_sectors = sectors - _ALIGNMENT - _ROOT_START
    with path.open("wb") as disk:
        disk.truncate(size)
        for offset, content in [
            *_partition_table(sectors, root_sectors, seed),
            *_at(_ESP_START, _fat16(_ESP_SECTORS, _ESP_START, "ESP", seed, _esp_files())),
            *_at(_ROOT_START, _fat16(root_sectors, _ROOT_START, "ROOT", seed, _root_files(data, seed))),
        ]:
            disk.seek(offset)
            disk.write(content)


def _esp_files() -> Folder:
    return {"EFI": {"BOOT": {"README.TXT": b"This disk was made to be published, not to be booted.\r\n"}}}


def _root_files(data: int, seed: str) -> Folder:
    """A release file, and ``data`` bytes in files of up to 1 MiB, together with their SHA-256 sums."""
    blobs = {f"{n:04}.BIN": _random(f"{seed}/{n}", min(MIB, data - n * MIB)) for n in range(-(-data // MIB))}
    sums = "".join(f"{hashlib.sha256(blob).hexdigest()}  {name}\n" for name, blob in blobs.items())
    return {
        "ETC": {"RELEASE": f"Broadside demonstration disk, seed {seed}\n".encode()},
        "DATA": {**blobs, "SHA256": sums.encode()},
    }


def _random(seed: str, size: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)


def _guid(seed: str) -> bytes:
    """A random-looking GUID in GPT's mixed byte order."""
    return uuid.UUID(bytes=_random(f"guid/{seed}", 16), version=4).bytes_le


def _at(start: int, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Move ``pieces`` to the sector ``start``."""
    return ((start * SECTOR + offset, content) for offset, content in pieces)


# --- The partition table -------------------------------------------------------------------------------------------


def _partition_table(sectors: int, root_sectors: int, seed: str) -> Iterator[Piece]:
    """Protective MBR, and the GPT at both ends."""
    entries = b"".join(
        [
            _gpt_entry(_TYPE_ESP, f"{seed}/esp", _ESP_START, _ESP_SECTORS, "EFI system partition"),
            _gpt_entry(_TYPE_LINUX, f"{seed}/root", _ROOT_START, root_sectors, "root"),
        ]
    ).ljust(128 * 128, b"\0")
    last = sectors - 1
    backup_entries = last - 32
    yield 0, _protective_mbr(sectors)
    yield 1 * SECTOR, _gpt_header(1, last, 2, entries, seed)
    yield 2 * SECTOR, entries
    yield backup_entries * SECTOR, entries
    yield last * SECTOR, _gpt_header(last, 1, backup_entries, entries, seed)


def _protective_mbr(sectors: int) -> bytes:
    """One partition of type EE over the whole disk, so that tools that do not know GPT leave it alone."""
    partition = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, sectors - 1)
    return bytes(446) + partition + bytes(48) + b"\x55\xaa"


def _gpt_entry(kind: uuid.UUID, seed: str, start: int, sectors: int, name: str) -> bytes:
    return struct.pack("<16s16sQQQ72s", kind.bytes_le, _guid(seed), start, start + sectors - 1, 0, name.encode("utf-16-le"))


def _gpt_header(own: int, other: int, entries_at: int, entries: bytes, seed: str) -> bytes:
    """The header at sector ``own``; its CRC is taken with the field itself at zero."""
    first_usable, last_usable = 34, max(own, other) - 33

    def pack(crc: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            *(b"EFI PART", 0x00010000, 92, crc, 0, own, other, first_usable, last_usable),
            *(_guid(f"{seed}/disk"), entries_at, 128, 128, zlib.crc32(entries)),
        )

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


# --- The file system -----------------------------------------------------------------------------------------------

_FOLDER, _ARCHIVE, _LABEL = 0x10, 0x20, 0x08  # attributes of a directory entry
_ROOT_ENTRIES = 512
_ROOT_DIRECTORY_SECTORS = _ROOT_ENTRIES * 32 // SECTOR
_RESERVED_SECTORS = 1  # the boot sector
_DATE = (2026 - 1980) << 9 | 1 << 5 | 1  # 1 January 2026: files of a disk that is always the same have no other time
_FAT16_MOST_CLUSTERS = 65524
_FAT16_FEWEST_CLUSTERS = 4085  # by their number alone a reader tells FAT12, FAT16 and FAT32 apart


def _fat16(sectors: int, hidden: int, label: str, seed: str, files: Folder) -> Iterator[Piece]:
    """A FAT16 file system of ``sectors``, ``hidden`` sectors into its disk, that holds ``files``."""
    sectors_per_cluster, fat_sectors, clusters = _fat16_geometry(sectors)
    volume = _Clusters(sectors_per_cluster * SECTOR)
    root = _directory_entry(label, _LABEL, 0, 0) + volume.store_entries(files, own=0)
    if len(volume.table) > clusters + 2:
        raise ValueError(f"The files do not fit into the file system {label} of {sectors * SECTOR // MIB} MiB.")
    fat = struct.pack(f"<{len(volume.table)}H", *volume.table)
    root_at = _RESERVED_SECTORS + 2 * fat_sectors
    first_cluster_at = root_at + _ROOT_DIRECTORY_SECTORS
    yield 0, _boot_sector(sectors, hidden, sectors_per_cluster, fat_sectors, label=label, seed=seed)
    yield _RESERVED_SECTORS * SECTOR, fat
    yield (_RESERVED_SECTORS + fat_sectors) * SECTOR, fat
    yield root_at * SECTOR, root
    for cluster, content in volume.content:
        yield (first_cluster_at + (cluster - 2) * sectors_per_cluster) * SECTOR, content


def _fat16_geometry(sectors: int) -> tuple[int, int, int]:
    """Sectors per cluster (the fewest that FAT16 allows), sectors per FAT, and the number of clusters."""
    for sectors_per_cluster in (1, 2, 4, 8, 16, 32, 64):
        rest = sectors - _RESERVED_SECTORS - _ROOT_DIRECTORY_SECTORS
        fat_sectors = -(-rest // (256 * sectors_per_cluster + 2))  # 256 entries in a sector, 2 FATs
        clusters = (rest - 2 * fat_sectors) // sectors_per_cluster
        if _FAT16_FEWEST_CLUSTERS <= clusters <= _FAT16_MOST_CLUSTERS:
            return sectors_per_cluster, fat_sectors, clusters
    raise ValueError(f"FAT16 cannot have {sectors} sectors.")


def _boot_sector(sectors: int, hidden: int, sectors_per_cluster: int, fat_sectors: int, *, label: str, seed: str) -> bytes:
    few = sectors if sectors < 0x10000 else 0  # the count has a field of 16 bits, and one of 32 for when it is too small
    block = struct.pack(
        "<3s8sHBHBHHBHHHII",
        *(b"\xeb\x3c\x90", b"BROADSID", SECTOR, sectors_per_cluster, _RESERVED_SECTORS, 2, _ROOT_ENTRIES),
        *(few, 0xF8, fat_sectors, 63, 255, hidden, 0 if few else sectors),
    )
    volume_id = int.from_bytes(_random(f"{seed}/{label}", 4), "little")
    extended = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, volume_id, _short_name(label), b"FAT16   ")
    return (block + extended).ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


class _Clusters:
    """Hands out clusters in order: ``table`` is the FAT so far, ``content`` what lies where."""

    def __init__(self, cluster_size: int) -> None:
        self.cluster_size = cluster_size
        self.table = [0xFFF8, 0xFFFF]  # two entries that belong to no cluster: the media type, and "cleanly unmounted"
        self.content: list[tuple[int, bytes]] = []

    def store_entries(self, files: Folder, own: int) -> bytes:
        """Store what a folder holds; the entries of the folder that begins at cluster ``own`` (0: the root)."""
        return b"".join(
            _directory_entry(name, _ARCHIVE, self._store_file(node), len(node))
            if isinstance(node, bytes)
            else _directory_entry(name, _FOLDER, self._store_folder(node, parent=own), 0)
            for name, node in files.items()
        )

    def _store_folder(self, files: Folder, parent: int) -> int:
        own = self._allocate(32 * (2 + len(files)))
        dots = _directory_entry(".", _FOLDER, own, 0) + _directory_entry("..", _FOLDER, parent, 0)
        self.content.append((own, dots + self.store_entries(files, own)))
        return own

    def _store_file(self, content: bytes) -> int:
        if not content:
            return 0  # an empty file has no cluster
        first = self._allocate(len(content))
        self.content.append((first, content))
        return first

    def _allocate(self, size: int) -> int:
        """Chain as many clusters as ``size`` bytes need; the first of them."""
        first = len(self.table)
        count = -(-size // self.cluster_size)
        self.table.extend([*range(first + 1, first + count), 0xFFFF])
        return first


def _directory_entry(name: str, attribute: int, cluster: int, size: int) -> bytes:
    return struct.pack(
        "<11sBBBHHHHHHHI",
        *(_short_name(name), attribute, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, cluster, size),
    )


def _short_name(name: str) -> bytes:
    """``README.TXT`` as the 11 bytes of a directory entry."""
    base, _, extension = (name, "", "") if name in (".", "..") else name.partition(".")
    return f"{base:<8}{extension:<3}".encode("ascii")
