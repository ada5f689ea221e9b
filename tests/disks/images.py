"""Disks and images of them, made by the usual tools, which are the judges, too."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chalicelib.disks.formats import open_disk
from chalicelib.disks.reading import Disk, LocalFile
from chalicelib.disks.signs import DiskFormat

KIB, MIB = 1024, 1024 * 1024

#: How qemu-img calls the formats.
QEMU: dict[str, str] = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx"}

#: The images by name: the format, and how qemu-img is asked for them.
KINDS: dict[str, tuple[DiskFormat, list[str]]] = {
    "qcow2": ("qcow2", []),
    "qcow2-v2": ("qcow2", ["-o", "compat=0.10"]),
    "qcow2-small-clusters": ("qcow2", ["-o", "cluster_size=4k"]),
    "qcow2-large-clusters": ("qcow2", ["-o", "cluster_size=2M"]),
    "qcow2-preallocated": ("qcow2", ["-o", "preallocation=metadata"]),
    "qcow2-zlib": ("qcow2", ["-c"]),
    "qcow2-zlib-small": ("qcow2", ["-c", "-o", "cluster_size=4k"]),
    "qcow2-zstd": ("qcow2", ["-c", "-o", "compression_type=zstd"]),
    "vmdk": ("vmdk", []),
    "vmdk-stream": ("vmdk", ["-o", "subformat=streamOptimized"]),
    "vmdk-zeroed": ("vmdk", ["-S", "0", "-o", "zeroed_grain=on"]),
    "vhd-fixed": ("vhd", ["-o", "subformat=fixed,force_size=on"]),
    "vhd-dynamic": ("vhd", ["-o", "subformat=dynamic,force_size=on"]),
    "vhd-fixed-geometry": ("vhd", ["-o", "subformat=fixed"]),
    "vhd-dynamic-geometry": ("vhd", ["-o", "subformat=dynamic"]),
    "vhdx": ("vhdx", ["-o", "block_size=1M"]),
    "vhdx-fixed": ("vhdx", ["-o", "subformat=fixed"]),
}

#: Compressed as a whole: the tool, and how it is asked for levels and the rest.
TOOLS: dict[str, tuple[DiskFormat, list[str]]] = {
    "gzip": ("raw.gz", ["gzip", "-nc"]),
    "xz": ("raw.xz", ["xz", "-c"]),
    "xz-blocks": ("raw.xz", ["xz", "-c", "--block-size=100000", "--check=sha256"]),
    "zstd": ("raw.zst", ["zstd", "-qc"]),
    "zstd-long": ("raw.zst", ["zstd", "-qc", "--ultra", "-22"]),
}


def content(size: int = 4 * MIB, seed: int = 1) -> bytes:
    """A disk: random bytes, text, and holes between, on borders of sectors and on none; a boot sector, and a last sector."""
    chance = random.Random(seed)  # noqa: S311 - the same content each time
    data = bytearray(size)
    for number in range(12):
        at = chance.randrange(size) // 512 * 512 if number % 3 else chance.randrange(size)
        length = chance.choice([1, 511, 4096, 50_000, 200_000])
        filling = chance.randbytes(length) if number % 2 else (b"what is on a disk, line %d\n" % number * length)[:length]
        data[at : at + length] = filling[: size - at]
    data[:512] = chance.randbytes(510) + b"\x55\xaa"
    data[-512:] = chance.randbytes(512)
    return bytes(data)


def convert(source: Path, target: Path, *options: str, source_format: str = "raw", target_format: str = "raw") -> None:
    """Have qemu-img convert an image."""
    command = ["qemu-img", "convert", "-f", source_format, "-O", target_format, *options, source, target]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def make(folder: Path, disk: bytes, kind: str) -> tuple[Path, DiskFormat]:
    """An image of the disk."""
    raw, (format_, options) = folder / "disk.raw", KINDS[kind]
    raw.write_bytes(disk)
    image = folder / f"disk.{kind}"
    convert(raw, image, *options, target_format=QEMU[format_])
    return image, format_


def pack(folder: Path, disk: bytes, tool: str) -> bytes:
    """The disk compressed by a tool."""
    (folder / "disk.raw").write_bytes(disk)
    return subprocess.run([*TOOLS[tool][1], folder / "disk.raw"], check=True, capture_output=True).stdout


def judged(image: Path, format_: str) -> bytes:
    """The raw disk that qemu-img makes of an image."""
    raw = image.with_suffix(".judged")
    convert(image, raw, source_format=QEMU[format_])
    return raw.read_bytes()


@dataclass
class Memory:
    """A source in memory that takes notes: what was asked for, as (offset, length)."""

    data: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length > 0, "S3 has no ranges of nothing"
        assert offset + length <= len(self.data), "asked for bytes behind the end"
        self.asked.append((offset, length))
        return self.data[offset : offset + length]


@contextmanager
def opened(image: Path, format_: DiskFormat) -> Iterator[Disk]:
    with LocalFile(image) as source:
        yield open_disk(source, format_)


def whole(disk: Disk, step: int = MIB) -> bytes:
    """The disk, read in steps."""
    return b"".join(disk.read(at, step) for at in range(0, disk.size, step))
