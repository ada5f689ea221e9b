"""Every format gives the bytes that qemu-img makes of it, whatever part is asked for, and fetches no more than it must."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.disks.formats import open_disk
from chalicelib.disks.reading import GAP, MAX_DISK, RUN, Disk, LocalFile
from chalicelib.disks.signs import DiskFormat
from tests.disks.images import KIB, KINDS, MIB, QEMU, Memory, content, judged, make, opened, whole

#: A size that is no multiple of any cluster, grain or block.
ODD = 3 * MIB + 5 * 512


@pytest.mark.parametrize("size", [ODD, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_are_the_ones_that_qemu_img_makes(tmp_path: Path, kind: str, size: int) -> None:
    """Also where the disk ends within a cluster; the geometry of a VHD may make the disk larger."""
    disk = content(size)
    image, format_ = make(tmp_path, disk, kind)
    with opened(image, format_) as found:
        found.check()
        read = whole(found)
    assert read == judged(image, format_)
    assert read[:size] == disk
    assert len(read) == size or "geometry" in kind


def test_a_raw_disk_is_what_it_is() -> None:
    """Of any size."""
    for size in (1, 1000, MIB):
        disk = content(MIB)[:size]
        assert whole(open_disk(Memory(disk), "raw")) == disk


def test_clusters_of_zeros_are_zeros(tmp_path: Path) -> None:
    """Those that keep their place in the file, those that have none, and those that were written over data."""
    image, format_ = make(tmp_path, content(), "qcow2")
    writes = ["write -z 1M 128k", "write -z -u 0 64k", "discard 2M 256k", "write -P 7 3M 1k"]
    subprocess.run(["qemu-io", *(part for write in writes for part in ("-c", write)), image], check=True, capture_output=True)
    with opened(image, format_) as found:
        assert whole(found) == judged(image, format_)
        assert found.read(0, 64 * KIB) == bytes(64 * KIB)


def test_a_vmdk_whose_header_stands_at_the_end_is_read(tmp_path: Path) -> None:
    """As writers make it that cannot go back to the beginning: the header in front only says where the other one is."""
    image, format_ = make(tmp_path, content(), "vmdk-stream")
    data = bytearray(image.read_bytes())
    footer = bytes(data[:512])
    data[56:64] = b"\xff" * 8
    data = data[: -(len(data) % 512) or None] + bytes(-len(data) % 512)
    marker = (0).to_bytes(12, "little") + (3).to_bytes(4, "little") + bytes(496)
    image.write_bytes(data + marker + footer + bytes(512))
    with opened(image, format_) as found:
        assert whole(found) == judged(image, format_) == content()


@pytest.mark.parametrize("format_", ["qcow2", "vmdk", "vhd", "vhdx"])
def test_the_largest_disk_is_read(tmp_path: Path, format_: DiskFormat) -> None:
    """125 GiB, with data at both ends, in a file of a few MiB."""
    image, qemu = tmp_path / "disk", QEMU[format_]
    options = ["-o", "force_size=on"] if format_ == "vhd" else []
    subprocess.run(["qemu-img", "create", "-q", "-f", qemu, *options, image, "125G"], check=True)
    write = ["qemu-io", "-f", qemu, "-c", "write -P 1 0 1k", "-c", f"write -P 2 {MAX_DISK - KIB} 1k", image]
    subprocess.run(write, check=True, capture_output=True)
    with opened(image, format_) as found:
        found.check()
        assert found.size == MAX_DISK
        assert found.read(0, 2 * KIB) == b"\1" * KIB + bytes(KIB)
        assert found.read(found.size - 2 * KIB, 4 * KIB) == bytes(KIB) + b"\2" * KIB


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Disk]]:
    """One image of each kind, open."""
    folder = tmp_path_factory.mktemp("disks")
    sources: list[LocalFile] = []
    found: dict[str, Disk] = {}
    for kind in KINDS:
        image, format_ = make(folder, content(ODD), kind)
        sources.append(LocalFile(image))
        found[kind] = open_disk(sources[-1], format_)
    yield found
    for source in sources:
        source.__exit__()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, ODD + MIB), st.integers(0, MIB))
def test_any_range_is_a_slice_of_the_whole(disks: dict[str, Disk], kind: str, offset: int, length: int) -> None:
    """Within a cluster, over several, and over the disk's end."""
    disk = disks[kind]
    expected = content(ODD).ljust(disk.size, b"\0")[offset : offset + length]
    assert disk.read(offset, length) == expected


#: Data in the first and the last MiB of 32, and how much of the file is at most read along with them.
FAR, SLACK = 32 * MIB, 2 * MIB


def sparse() -> bytes:
    piece = content(MIB, seed=2)
    return piece + bytes(FAR - 2 * MIB) + piece


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "fixed" not in kind and "prealloc" not in kind and "zeroed" not in kind]
)
def test_what_is_not_allocated_is_never_fetched(tmp_path: Path, kind: str) -> None:
    """Holes cost no request, and what lies together is fetched together."""
    image, format_ = make(tmp_path, sparse(), kind)
    source = Memory(image.read_bytes())
    disk = open_disk(source, format_)
    disk.read(0, MIB)
    disk.read(FAR - MIB, MIB)
    source.asked.clear()
    assert disk.read(4 * MIB, FAR - 8 * MIB) == bytes(FAR - 8 * MIB)
    tables = len(source.asked)
    assert tables <= (FAR // MIB if "small" in kind else 1)
    source.asked.clear()
    assert disk.read(0, MIB) == sparse()[:MIB]
    if "small" not in kind:
        assert len(source.asked) <= 2
    assert sum(length for _, length in source.asked) <= MIB + SLACK


def test_reads_are_few_and_bounded() -> None:
    """A run is no longer than it may be; what lies close together is one read."""
    source = Memory(content(MIB) * 20)
    disk = open_disk(source, "raw")
    source.asked.clear()
    assert disk.read(100, 18 * MIB) == source.data[100 : 100 + 18 * MIB]
    assert [length for _, length in source.asked] == [RUN, RUN, 2 * MIB]
    assert GAP < RUN


def test_a_shard_of_a_dynamic_vhd_is_a_few_reads(tmp_path: Path) -> None:
    """The bitmaps between its blocks are read along with them."""
    image, format_ = make(tmp_path, content(MIB) * 16, "vhd-dynamic")
    source = Memory(image.read_bytes())
    disk = open_disk(source, format_)
    source.asked.clear()
    assert disk.read(0, 16 * MIB) == content(MIB) * 16
    assert len(source.asked) <= 3


def test_formats_that_are_packed_are_not_opened() -> None:
    """They cannot be read at any place."""
    with pytest.raises(ValueError, match="unpack"):
        open_disk(Memory(b"\x1f\x8b\x08" + bytes(600)), "raw.gz")
