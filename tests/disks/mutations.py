"""Damages images, mostly where their headers and tables are, reads them, and lets the usual tools judge what comes out.

``python -m tests.disks.mutations KIND COUNT SEED`` does that in a process of its own, so that its memory is its own, and
prints one JSON document: see :func:`run`.
"""

from __future__ import annotations

import json
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from chalicelib.disks.formats import open_disk
from chalicelib.disks.packed import PackedFormat, unpack
from chalicelib.disks.reading import MAX_DISK, Mapped
from chalicelib.disks.signs import DiskFormat
from chalicelib.disks.vhd import checksum
from chalicelib.disks.vhdx import crc32c
from chalicelib.errors import BadDisk
from tests.disks.images import KIB, MIB, QEMU, TOOLS, Memory, content, make, pack

#: Bytes of a disk that are compared whole; of larger ones, the ends and what lies in the file.
COMPARED = 32 * MIB

#: Bytes that may be unpacked of a raw disk.
LIMIT = 256 * MIB


def original(folder: Path, kind: str) -> tuple[bytes, DiskFormat]:
    """The image that is damaged: of a small disk."""
    disk = content(2 * MIB + 512)
    if kind in TOOLS:
        return pack(folder, disk, kind), TOOLS[kind][0]
    image, format_ = make(folder, disk, kind)
    return image.read_bytes(), format_


def spots(data: bytes, format_: DiskFormat) -> list[tuple[int, int]]:
    """Where headers and tables are: offset and length of each."""
    if format_ == "qcow2":
        (l1,) = struct.unpack_from(">Q", data, 40)
        (l2,) = struct.unpack_from(">Q", data, l1)
        return [(0, 112), (l1, 16), (l2 & 0xFFFFFFFFFFFE00, 300)]
    if format_ == "vmdk":
        (directory,) = struct.unpack_from("<Q", data, 56)
        (table,) = struct.unpack_from("<I", data, directory * 512)
        (grain,) = struct.unpack_from("<I", data, table * 512)
        return [(0, 80), (512, 340), (directory * 512, 8), (table * 512, 140), (grain * 512, 16)]
    if format_ == "vhd":
        return [(len(data) - 512, 100), (0, 100), (512, 50), (1536, 16)]
    if format_ == "vhdx":
        regions = [struct.unpack_from("<Q", data, 192 * KIB + 16 + 32 * number + 16)[0] for number in range(2)]
        tables = [(at, 32 * 6) for at in regions] + [(at + 64 * KIB, 64) for at in regions]
        return [(0, 16), (64 * KIB, 80), (128 * KIB, 80), (192 * KIB, 96), *tables]
    return [(0, 32), (len(data) - 40, 40), (0, len(data))]


def numbers(chance: random.Random, size: int) -> int:
    """One that a reader could stumble over."""
    limits = (0, 1, 2, 511, 512, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1, MAX_DISK, MAX_DISK // 512)
    own = (size - 1, size, size + 1, size // 512, MAX_DISK + 512, chance.getrandbits(chance.randrange(1, 65)))
    return chance.choice(limits + own)


def damage(data: bytes, format_: DiskFormat, chance: random.Random) -> bytes:
    """The image with one to three faults, and in every second VHD and VHDX with checksums that fit them."""
    found = bytearray(data)
    places = [*spots(data, format_), (0, len(data))]
    for _ in range(chance.choice([1, 1, 2, 3])):
        start, length = chance.choice(places)
        at = min(start + chance.randrange(length), len(data) - 1)
        match chance.randrange(7):
            case 0:
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at] = chance.choice([0, 1, 0xFF, chance.randrange(256)])
            case 2 | 3:
                width, value = chance.choice([2, 4, 8]), numbers(chance, len(data))
                at -= (at - start) % width
                order: Literal["big", "little"] = "big" if chance.random() < 0.5 else "little"
                found[at : at + width] = (value % 256**width).to_bytes(width, order)
            case 4:
                width, other = chance.choice([4, 8, 16]), start + chance.randrange(length)
                found[at : at + width] = found[other : other + width]
            case 5:
                found[at : at + 16] = chance.randbytes(16)
            case _:
                found[at], found[-1] = found[-1], found[at]
    found = found[: len(data)]
    if chance.random() < 0.1:
        del found[chance.randrange(1, len(found)) :]
    elif chance.random() < 0.1:
        found += chance.choice([b"\0", bytes(4), bytes(512), chance.randbytes(100), data[:1000]])
    if chance.random() < 0.5:
        mend(found, format_)
    return bytes(found)


def mend(data: bytearray, format_: DiskFormat) -> None:
    """Put the checksums right."""
    if format_ == "vhd" and len(data) >= 2048:
        data[-512:] = _summed(data[-512:], 64)
        if data.startswith(b"conectix"):
            data[:512] = data[-512:]
            data[512:1536] = _summed(data[512:1536], 36)
    if format_ == "vhdx" and len(data) > 320 * KIB:
        for at, length in ((64 * KIB, 4 * KIB), (128 * KIB, 4 * KIB), (192 * KIB, 64 * KIB)):
            data[at + 4 : at + 8] = struct.pack("<I", crc32c(bytes(data[at : at + length])))
        data[256 * KIB : 320 * KIB] = data[192 * KIB : 256 * KIB]


def _summed(part: bytearray, at: int) -> bytes:
    return bytes(part[:at]) + struct.pack(">I", checksum(bytes(part), at)) + bytes(part[at + 4 :])


def outcome(data: bytes, format_: DiskFormat, folder: Path) -> tuple[str, float, str]:
    """What becomes of an image, the seconds that reading it takes, and what is said of it.

    It is ``refused``, ``same`` as what the tool makes of it, ``differs``, or ``read`` although the tool refuses it.
    """
    begun = time.monotonic()
    try:
        parts = list(unpacked(data, format_) if format_ in get_args(PackedFormat) else parts_of(data, format_))
    except BadDisk as error:
        return "refused", time.monotonic() - begun, str(error)
    took = time.monotonic() - begun
    image, raw = folder / "damaged", folder / "judged"
    image.write_bytes(data)
    refusal = judge(image, format_, raw)
    if refusal is not None:
        return "read", took, refusal
    size, parts = parts[0][0], parts[1:]
    with raw.open("rb") as file:
        same = file.seek(0, 2) == size and all(file.seek(at) == at and file.read(len(part)) == part for at, part in parts)
    return "same" if same else "differs", took, f"{size} bytes"


def parts_of(data: bytes, format_: DiskFormat) -> Iterator[tuple[int, bytes]]:
    """The size of the disk, and then all of it, or its ends and what lies in the file: where each part is, and its bytes."""
    disk = open_disk(Memory(data), format_)
    disk.check()
    yield disk.size, b""
    for at in range(0, min(COMPARED, disk.size), MIB):
        yield at, disk.read(at, MIB)
    if disk.size > COMPARED:
        yield disk.size - MIB, disk.read(disk.size - MIB, MIB)
        assert isinstance(disk, Mapped)
        for number, extent in enumerate(disk.extents(COMPARED, disk.size)):
            if number == 64:
                break
            yield extent.start, disk.read(extent.start, min(extent.length, MIB))


def unpacked(data: bytes, format_: DiskFormat) -> Iterator[tuple[int, bytes]]:
    """The same of a disk that is packed as a whole."""
    assert format_ in ("raw.gz", "raw.xz", "raw.zst")
    disk = b"".join(unpack([data], format_, LIMIT))
    yield len(disk), b""
    yield 0, disk


def judge(image: Path, format_: DiskFormat, raw: Path) -> str | None:
    """Have the tool make the raw disk; what it says if it refuses."""
    if format_ in QEMU:
        command = ["qemu-img", "convert", "-f", QEMU[format_], "-O", "raw", str(image), str(raw)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=120)
    else:
        tool = {"raw.gz": "gzip", "raw.xz": "xz", "raw.zst": "zstd"}[format_]
        with image.open("rb") as packed, raw.open("wb") as file:
            done = subprocess.run([tool, "-dc"], check=False, stdin=packed, stdout=file, stderr=subprocess.PIPE, timeout=120)
    return done.stderr.decode("utf-8", "replace")[-300:] if done.returncode else None


def run(kind: str, count: int, seed: int) -> dict[str, Any]:
    """Damage ``count`` images: how many ended how, those that did not end well, the longest time and the most memory."""
    ends: Counter[str] = Counter()
    bad: list[dict[str, Any]] = []
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, format_ = original(folder, kind)
        for number in range(count):
            chance = random.Random(f"{kind} {seed} {number}")  # noqa: S311 - the same damage each time
            damaged = damage(data, format_, chance)
            try:
                end, took, words = outcome(damaged, format_, folder)
            except Exception as error:  # that there is none is what is to be shown
                end, took, words = "raised", 0.0, repr(error)
            ends[end] += 1
            longest = max(longest, took)
            if end not in ("refused", "same"):
                bad.append({"number": number, "end": end, "words": words})
    # Not ru_maxrss, which begins with what the parent had when it forked this process.
    [peak] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return {"ends": ends, "bad": bad, "seconds": round(longest, 2), "mib": int(peak) // KIB}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
