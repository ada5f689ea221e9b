"""Which format a file is of: said by the builder, guessed only for the builder, and never by whoever publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chalicelib.disks.formats import guess, open_disk
from chalicelib.disks.signs import ENDS, SIGNS, DiskFormat
from chalicelib.errors import BadDisk
from tests.disks.images import KINDS, TOOLS, Memory, content, make, pack


@pytest.mark.parametrize("kind", [*KINDS, *TOOLS])
def test_the_format_of_each_image_is_guessed(tmp_path: Path, kind: str) -> None:
    """By its content, when its name promises nothing."""
    if kind in TOOLS:
        data, format_ = pack(tmp_path, content(), kind), TOOLS[kind][0]
    else:
        image, format_ = make(tmp_path, content(), kind)
        data = image.read_bytes()
    assert guess(data[:ENDS], data[-ENDS:], "disk.img") == format_


def test_whatever_has_no_sign_is_raw() -> None:
    """However short."""
    for data in (b"", b"Q", content()):
        assert guess(data[:ENDS], data[-ENDS:], "disk.img") == "raw"


@pytest.mark.parametrize(
    ("name", "head"),
    [("disk.qcow2", b"KDMV"), ("disk.vmdk", content()[:512]), ("disk.raw.gz", b"<html>"), ("DISK.VHD", b"vhdxfile")],
)
def test_a_name_that_promises_something_else_is_refused(name: str, head: bytes) -> None:
    """Most likely the wrong file, or a page that says why there is none."""
    with pytest.raises(BadDisk, match="by its content"):
        guess(head, b"", name)


@pytest.mark.parametrize(("sign", "format_"), SIGNS)
def test_another_format_is_not_taken_for_raw(sign: bytes, format_: DiskFormat) -> None:
    """Nobody wants to boot from it."""
    with pytest.raises(BadDisk, match=f"raw, but it begins or ends as {format_} does"):
        open_disk(Memory(sign + bytes(2000)), "raw")


def test_a_fixed_vhd_is_not_taken_for_raw(tmp_path: Path) -> None:
    """The footer would be on the disk."""
    image, _ = make(tmp_path, content(), "vhd-fixed")
    with pytest.raises(BadDisk, match="raw, but it begins or ends as vhd"):
        open_disk(Memory(image.read_bytes()), "raw")


@pytest.mark.parametrize("format_", ["qcow2", "vmdk", "vhd", "vhdx"])
@pytest.mark.parametrize("data", [b"Q", content(), b"QFI\xfa" + bytes(2000)])
def test_a_wrong_sign_is_refused(format_: DiskFormat, data: bytes) -> None:
    """Nothing else is tried."""
    with pytest.raises(BadDisk, match=f"said to be {format_}, but it begins as raw does"):
        open_disk(Memory(data), format_)


@pytest.mark.parametrize("format_", ["raw", "qcow2", "vmdk", "vhd", "vhdx"])
def test_an_empty_file_is_no_disk(format_: DiskFormat) -> None:
    """Not even a raw one."""
    with pytest.raises(BadDisk, match="empty"):
        open_disk(Memory(b""), format_)
