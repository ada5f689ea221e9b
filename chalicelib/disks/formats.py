"""The formats of disk images, and opening one.

A format is never found out by looking: whoever writes to a raw disk could begin it with another format's header, and so have
other bytes published than the ones that were tested.  The manifest names it, and the file must begin accordingly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeGuard

from chalicelib.disks.qcow2 import Qcow2
from chalicelib.disks.reading import Disk, Flat, Source
from chalicelib.disks.signs import ENDS, DiskFormat, check_raw, guess, sign
from chalicelib.disks.vhd import open_vhd
from chalicelib.disks.vhdx import Vhdx
from chalicelib.disks.vmdk import Vmdk
from chalicelib.errors import BadDisk

__all__ = ["DiskFormat", "guess", "has_tables", "open_disk"]


def open_disk(source: Source, format: DiskFormat) -> Disk:  # noqa: A002 - the manifest's word
    """The disk in a file that can be read at any place: all formats but those that ``packed.unpack`` is for.

    Raises:
        BadDisk: the file is not of that format, is damaged or cut off, is encrypted, needs another file, has snapshots in it,
            or its disk is empty or too large.  What is damaged further inside shows when it is read.
        CloudBusy, CloudRefused: from the source.
    """
    if format not in _READERS:
        raise ValueError(f"{format} cannot be read at any place: unpack it")
    if not source.size:
        raise BadDisk("The image is an empty file.")
    ends = min(ENDS, source.size)
    head, tail = source.read(0, ends), source.read(source.size - ends, ends)
    if format == "raw":
        check_raw(head, tail)
    elif sign(head, tail) != format:
        raise BadDisk(f"The image's format is said to be {format}, but it begins as {sign(head, tail)} does.")
    return _READERS[format](source)


def has_tables(format: str) -> TypeGuard[DiskFormat]:  # noqa: A002
    """Whether images of a format say themselves how large their disk is, and where in the file it lies."""
    return format in _READERS and format != "raw"


_READERS: Mapping[str, Callable[[Source], Disk]] = {
    "raw": lambda source: Flat(source, source.size),
    "qcow2": Qcow2,
    "vmdk": Vmdk,
    "vhd": open_vhd,
    "vhdx": Vhdx,
}
