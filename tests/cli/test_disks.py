"""The disks that commands compare: images of any format give the digests of the raw disk in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from broadside.cli.disks import open_file
from chalicelib.errors import BadDisk
from chalicelib.snapshots.blocks import BLOCK_SIZE, ZERO_DIGEST
from tests.disks.images import KINDS, MIB, TOOLS, content, make, pack

DISK = content(MIB) + bytes(MIB) + content(MIB + 512)


def expected(disk: bytes) -> list[bytes]:
    padded = (disk[at : at + BLOCK_SIZE].ljust(BLOCK_SIZE, b"\0") for at in range(0, len(disk), BLOCK_SIZE))
    return [hashlib.sha256(block).digest() for block in padded]


@pytest.mark.parametrize("kind", ["raw", *(kind for kind in KINDS if "geometry" not in kind), *TOOLS])
def test_an_image_of_any_format_is_compared(tmp_path: Path, kind: str) -> None:
    """Blocks of zeros are the same digest in all."""
    path = tmp_path / "image"
    if kind == "raw":
        path.write_bytes(DISK)
    elif kind in TOOLS:
        path.write_bytes(pack(tmp_path, DISK, kind))
    else:
        path, _ = make(tmp_path, DISK, kind)
    disk = open_file(path)
    digests = list(disk.digests())
    assert digests == expected(DISK)
    assert disk.blocks == len(digests)
    assert digests[2] == ZERO_DIGEST


@pytest.mark.parametrize("data", [b"", b"QFI\xfb" + bytes(600), b"\x1f\x8b\x08" + bytes(600)])
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    """One sentence, which names the file."""
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(BadDisk, match=f"^{tmp_path}/image: The "):
        open_file(tmp_path / "image")
    with pytest.raises(BadDisk, match="is no file"):
        open_file(tmp_path)
