"""What tells a format: the bytes that a file of it begins with, or ends with."""

from __future__ import annotations

from typing import Literal

from chalicelib.errors import BadDisk

#: The formats, by the manifest's words.  The first four are a raw disk, as it is or compressed as a whole.
DiskFormat = Literal["raw", "raw.gz", "raw.xz", "raw.zst", "qcow2", "vmdk", "vhd", "vhdx"]

#: Bytes at either end of a file that tell its format.
ENDS = 512

#: What a file begins with.  A VMDK is one file with a header, or a text that names others.  The third byte of gzip's sign is
#: its only method (RFC 1952, section 2.3.1).
SIGNS: tuple[tuple[bytes, DiskFormat], ...] = (
    (b"\x1f\x8b\x08", "raw.gz"),
    (b"\xfd7zXZ\0", "raw.xz"),
    (b"\x28\xb5\x2f\xfd", "raw.zst"),
    (b"QFI\xfb", "qcow2"),
    (b"KDMV", "vmdk"),
    (b"COWD", "vmdk"),
    (b"# Disk DescriptorFile", "vmdk"),
    (b"vhdxfile", "vhdx"),
    (b"conectix", "vhd"),
)
_VHD = b"conectix"

#: The formats that the end of a file's name promises.
_ENDINGS: dict[str, DiskFormat] = {
    ".gz": "raw.gz",
    ".xz": "raw.xz",
    ".zst": "raw.zst",
    ".qcow2": "qcow2",
    ".vmdk": "vmdk",
    ".vhd": "vhd",
    ".vhdx": "vhdx",
}


def sign(head: bytes, tail: bytes) -> DiskFormat:
    """The format of a file by its first and last :data:`ENDS` bytes; raw where nothing tells another one."""
    for start, format_ in SIGNS:
        if head.startswith(start):
            return format_
    return "vhd" if tail[-ENDS:].startswith(_VHD) else "raw"  # a fixed VHD is the raw disk and a footer


def guess(source_head: bytes, tail: bytes, name: str) -> DiskFormat:
    """The format of a file, for whoever is about to say it in a manifest.

    Args:
        source_head, tail: its first and last :data:`ENDS` bytes, or all if there are fewer.

    Raises:
        BadDisk: its name promises another one.
    """
    found = sign(source_head, tail)
    promised = next((format_ for ending, format_ in _ENDINGS.items() if name.lower().endswith(ending)), found)
    if found != promised:
        raise BadDisk(f"{name} is {found} by its content, not {promised}: rename it, or say its format.")
    return found


def check_raw(head: bytes, tail: bytes) -> None:
    """See that what should be a raw disk is not an image of another format, which nothing could boot from.

    Raises:
        BadDisk: it is.
    """
    found = sign(head, tail)
    if found != "raw":
        raise BadDisk(f"The image's format is said to be raw, but it begins or ends as {found} does: unpack it, or say so.")
