"""What is refused, and the sentence for it.  Each case is a good image with one thing changed."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from chalicelib.disks.formats import open_disk
from chalicelib.disks.reading import MAX_DISK
from chalicelib.disks.signs import DiskFormat
from chalicelib.errors import BadDisk, BuildRefused
from tests.disks.images import KIB, MIB, Memory, content, make
from tests.disks.mutations import mend

if sys.version_info >= (3, 14):
    from compression.zstd import compress
else:
    from backports.zstd import compress

Change = Callable[[bytearray], object]


def put(form: str, at: int, *values: int | bytes) -> Change:
    """Write values at a place."""
    return lambda data: struct.pack_into(form, data, at, *values)


def number(data: bytes, form: str, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])


def refused(data: bytes, format_: DiskFormat, words: str) -> None:
    """Refused with these words, in one sentence, on opening, checking or reading."""

    def read() -> None:
        disk = open_disk(Memory(data), format_)
        disk.check()
        disk.read(0, 4 * MIB)

    with pytest.raises(BadDisk, match=words) as caught:
        read()
    text = str(caught.value)
    assert text.startswith("The ")
    assert text.endswith(".")
    assert ". " not in text
    assert len(text) < 250
    assert isinstance(caught.value, BuildRefused)


def changed(folder: Path, kind: str, change: Change, *, mended: bool = True) -> tuple[bytes, DiskFormat]:
    """An image with a change, with checksums that fit it."""
    image, format_ = make(folder, content(2 * MIB), kind)
    data = bytearray(image.read_bytes())
    change(data)
    if mended:
        mend(data, format_)
    return bytes(data), format_


def in_l1(value: int) -> Change:
    return lambda data: struct.pack_into(">Q", data, number(data, ">Q", 40), value)


def in_l2(value: int, at: int = 0) -> Change:
    """Change the L2 entry of the disk's first cluster."""

    def change(data: bytearray) -> None:
        table = number(data, ">Q", number(data, ">Q", 40)) & 0x00FFFFFFFFFFFE00
        struct.pack_into(">Q", data, table + at, value)

    return change


QCOW2: list[tuple[str, Change, str]] = [
    ("version", put(">I", 4, 4), "version 4"),
    ("backing file", put(">QI", 8, 1024, 10), "backing file"),
    ("clusters too small", put(">I", 20, 11), "2\\*\\*11"),
    ("clusters too large", put(">I", 20, 64), "2\\*\\*64"),
    ("no disk", put(">Q", 24, 0), "empty"),
    ("half a sector", put(">Q", 24, MIB + 256), "whole sectors"),
    ("a sector too much", put(">Q", 24, MAX_DISK + 512), "125 GiB"),
    ("absurd size", put(">Q", 24, 2**64 - 512), "125 GiB"),
    ("encrypted", put(">I", 32, 1), "encrypted"),
    ("encrypted with LUKS", put(">I", 32, 2), "encrypted"),
    ("L1 table too short", put(">I", 36, 0), "has 0 entries"),
    ("L1 table too long", put(">I", 36, 2**32 - 1), "entries"),
    ("L1 table outside", put(">Q", 40, 1 << 40), "cut off or damaged"),
    ("L1 table not aligned", put(">Q", 40, 1000), "within a cluster"),
    ("L1 table nowhere", put(">Q", 40, 0), "entries"),
    ("refcounts outside", put(">Q", 48, 1 << 40), "behind the end"),
    ("no refcounts", put(">I", 56, 0), "behind the end"),
    ("snapshots", put(">IQ", 60, 1, 65536), "snapshots"),
    ("dirty", put(">Q", 72, 1), "not closed properly"),
    ("corrupt", put(">Q", 72, 2), "corrupt"),
    ("external data", put(">Q", 72, 4), "another file"),
    ("external data that is raw", put(">Q", 88, 2), "another file"),
    ("extended L2", put(">Q", 72, 16), "extended L2"),
    ("unknown feature", put(">Q", 72, 32), "0x20"),
    ("unknown feature, the last", put(">Q", 72, 1 << 63), "not known here"),
    ("compression of no type", put(">Q", 72, 8), "compression"),
    ("compression without its feature", put(">B", 104, 1), "compression"),
    ("unknown compression", lambda data: (put(">Q", 72, 8)(data), put(">B", 104, 2)(data)), "type 2"),
    ("refcounts too wide", put(">I", 96, 7), "width"),
    ("header too short", put(">I", 100, 96), "length"),
    ("extension too long", put(">II", 112, 1, 70_000), "extension"),
    ("L1 entry not aligned", in_l1(512), "L1 table is damaged"),
    ("L1 entry with unknown bits", in_l1(1 << 60), "L1 table is damaged"),
    ("L2 table outside", in_l1(1 << 40), "cut off or damaged"),
    ("cluster outside", in_l2(1 << 40), "cut off or damaged"),
    ("cluster not aligned", in_l2(65536 + 512), "L2 entry"),
    ("cluster with unknown bits", in_l2((1 << 56) | 65536), "L2 entry"),
    ("cluster nowhere", in_l2(1 << 63), "L2 entry"),
    ("compressed cluster outside", in_l2((1 << 62) | (1 << 40)), "cut off or damaged"),
    ("compressed cluster that is none", in_l2((1 << 62) | 4), "cannot be unpacked|not one cluster"),
    ("cut off", lambda data: data.__delitem__(slice(3 * 65536, None)), "cut off"),
    ("cut off in the header", lambda data: data.__delitem__(slice(60, None)), "cut off"),
    ("cut off in the last cluster", lambda data: data.__delitem__(slice(-1, None)), "cut off"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in QCOW2], ids=[case[0] for case in QCOW2])
def test_qcow2(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "qcow2", change), words)


def test_qcow2_of_version_2_knows_no_clusters_of_zeros(tmp_path: Path) -> None:
    """Bit 0 is reserved there."""
    refused(*changed(tmp_path, "qcow2-v2", in_l2(65536 * 5 + 1)), "L2 entry")


@pytest.mark.parametrize("kind", ["qcow2-zlib", "qcow2-zstd"])
def test_a_compressed_cluster_of_another_size(tmp_path: Path, kind: str) -> None:
    """Whose data make more than a cluster, or less."""

    def place(data: bytearray) -> int:
        table = number(data, ">Q", number(data, ">Q", 40)) & 0x00FFFFFFFFFFFE00
        return number(data, ">Q", table) & ((1 << 54) - 1)

    def stop(data: bytearray) -> None:
        short = zlib_of(100) if kind == "qcow2-zlib" else zstd_of(100)
        data[place(data) : place(data) + len(short)] = short

    def burst(data: bytearray) -> None:
        long = (zlib_of(64 * MIB) if kind == "qcow2-zlib" else zstd_of(64 * MIB))[:60_000]
        data[place(data) : place(data) + len(long)] = long

    for change in (stop, burst):
        refused(*changed(tmp_path, kind, change), "compressed cluster")


def zlib_of(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(bytes(size)) + packer.flush()


def zstd_of(size: int) -> bytes:
    return compress(bytes(size))


def replace(old: bytes, new: bytes) -> Change:
    """Replace text in a descriptor, keeping its length."""

    def change(data: bytearray) -> None:
        assert old in data[512:2048]
        descriptor = bytes(data[512 : 512 + 20 * 512]).replace(old, new).rstrip(b"\0")
        data[512 : 512 + 20 * 512] = descriptor.ljust(20 * 512, b"\0")

    return change


def in_table(value: int) -> Change:
    """Change the first entry of a VMDK's first grain table."""

    def change(data: bytearray) -> None:
        directory = number(data, "<Q", 56) * 512
        struct.pack_into("<I", data, number(data, "<I", directory) * 512, value)

    return change


def in_directory(value: int) -> Change:
    return lambda data: struct.pack_into("<I", data, number(data, "<Q", 56) * 512, value)


VMDK: list[tuple[str, Change, str]] = [
    ("version", put("<I", 4, 4), "version 4"),
    ("no disk", put("<Q", 12, 0), "empty"),
    ("absurd size", put("<Q", 12, 2**63), "125 GiB"),
    ("grain of no power of two", put("<Q", 20, 100), "grain"),
    ("grain too large", put("<Q", 20, 1 << 40), "grain"),
    ("no grain", put("<Q", 20, 0), "grain"),
    ("no descriptor", put("<QQ", 28, 0, 0), "descriptor"),
    ("descriptor too long", put("<Q", 36, 1 << 40), "descriptor"),
    ("tables of another size", put("<I", 44, 0), "entries"),
    ("directory outside", put("<Q", 56, 1 << 60), "cut off or damaged"),
    ("footer that is not there", put("<Q", 56, 2**64 - 1), "footer"),
    ("tables longer than the file", put("<Q", 64, 1 << 40), "cut off"),
    ("not closed", put("<B", 72, 1), "not closed properly"),
    ("sent as text", put("<4s", 73, b"\n\n\n\n"), "text"),
    ("compressed, says the header alone", put("<H", 77, 1), "agree"),
    ("unknown compression", put("<H", 77, 2), "agree"),
    ("compressed, says a flag alone", put("<I", 8, 3 | 1 << 16), "agree"),
    ("parent", replace(b"parentCID=ffffffff", b"parentCID=12345678"), "parent"),
    ("parent's name", replace(b"# Extent", b'parentFileNameHint="x"\n# Extent'), "parent"),
    ("no parent, not even none", replace(b"parentCID=ffffffff", b""), "parent"),
    ("no id", replace(b"\nCID=", b"\nCID=z"), "content id"),
    ("type", replace(b"monolithicSparse", b"twoGbMaxExtentSparse"), "twoGbMaxExtentSparse"),
    ("two extents", replace(b"# The Disk", b'RW 5 SPARSE "other.vmdk"\n# The Disk'), "not one sparse file"),
    ("flat extent", replace(b" SPARSE ", b" FLAT "), "not one sparse file"),
    ("table outside", in_directory(2**32 - 1), "cut off or damaged"),
    ("grain outside", in_table(2**32 - 1), "cut off or damaged"),
    ("cut off", lambda data: data.__delitem__(slice(-70_000, None)), "cut off"),
    ("cut off in the header", lambda data: data.__delitem__(slice(300, None)), "cut off"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in VMDK], ids=[case[0] for case in VMDK])
def test_vmdk(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "vmdk", change), words)


def grain(form: str, at: int, *values: int | bytes) -> Change:
    """Write into the first grain of a compressed VMDK, behind its marker's begin."""

    def change(data: bytearray) -> None:
        table = number(data, "<I", number(data, "<Q", 56) * 512) * 512
        struct.pack_into(form, data, number(data, "<I", table) * 512 + at, *values)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (grain("<Q", 0, 128), "should lie"),
        (grain("<I", 8, 0), "not one grain"),
        (grain("<I", 8, 2**32 - 1), "should lie"),
        (grain("<I", 8, 50), "not one grain"),
        (grain(">Q", 12, 0), "cannot be unpacked"),
        (put("<I", 8, 3), "agree"),
        (put("<I", 8, 3 | 1 << 16), "agree"),
        (put("<H", 77, 0), "agree"),
        (replace(b"streamOptimized", b"monolithicSparse"), "agree"),
    ],
)
def test_vmdk_that_is_compressed(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "vmdk-stream", change), words)


def test_vmdk_whose_grain_bursts(tmp_path: Path) -> None:
    """64 MiB of zeros where one grain should be."""
    bomb = zlib.compress(bytes(64 * MIB), 9)[:60_000]
    refused(*changed(tmp_path, "vmdk-stream", grain(f"<I{len(bomb)}s", 8, len(bomb), bomb)), "not one grain")


@pytest.mark.parametrize("text", [b"# Disk DescriptorFile\nversion=1\n", b"COWD"])
def test_vmdk_in_several_files(text: bytes) -> None:
    refused(text + bytes(2000), "vmdk", "not one sparse file")


def footer(form: str, at: int, *values: int | bytes) -> Change:
    return lambda data: struct.pack_into(form, data, len(data) - 512 + at, *values)


def in_blocks(value: int) -> Change:
    return put(">I", 1536, value)


VHD: list[tuple[str, Change, str]] = [
    ("version", footer(">I", 12, 0x20000), "version 2"),
    ("no disk", footer(">Q", 48, 0), "empty"),
    ("half a sector", footer(">Q", 48, MIB + 1), "whole sectors"),
    ("absurd size", footer(">Q", 48, 2**64 - 512), "125 GiB"),
    ("differencing", footer(">I", 60, 4), "parent"),
    ("unknown type", footer(">I", 60, 5), "type 5"),
    ("fixed, but dynamic", footer(">I", 60, 2), "begins as a dynamic one"),
    ("saved", footer(">B", 84, 1), "saved state"),
    ("header outside", footer(">Q", 16, 1 << 60), "cut off or damaged"),
    ("header elsewhere", footer(">Q", 16, 0), "dynamic disk's header"),
    ("table outside", put(">Q", 512 + 16, 1 << 60), "cut off or damaged"),
    ("header's version", put(">I", 512 + 24, 0x20000), "version 2"),
    ("table too short", put(">I", 512 + 28, 0), "0 entries"),
    ("table too long", put(">I", 512 + 28, 2**32 - 1), "entries"),
    ("tiny blocks", put(">I", 512 + 32, 512), "blocks of 512"),
    ("blocks of no power of two", put(">I", 512 + 32, 2_000_000), "blocks of 2,000,000"),
    ("block outside", in_blocks(2**32 - 2), "cut off or damaged"),
    ("cut off", lambda data: data.__delitem__(slice(-1024, -512)), "cut off or damaged"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in VHD], ids=[case[0] for case in VHD])
def test_vhd(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "vhd-dynamic", change), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (footer(">B", 100, 1), "right checksum"),
        (put(">B", 300, 1), "differ"),
        (put(">B", 512 + 40, 1), "checksum of its dynamic disk's header"),
        (lambda data: data.__delitem__(slice(-100, None)), "does not end in a footer"),
    ],
)
def test_vhd_with_a_wrong_checksum(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "vhd-dynamic", change, mended=False), words)


def test_vhd_that_is_fixed_and_too_short(tmp_path: Path) -> None:
    refused(*changed(tmp_path, "vhd-fixed", lambda data: data.__delitem__(slice(0, 512))), "cut off")


HEADER, REGIONS = 64 * KIB, 192 * KIB


def in_regions(which: int, form: str, at: int, *values: int | bytes) -> Change:
    return put(form, REGIONS + 16 + 32 * which + at, *values)


def both(form: str, at: int, *values: int | bytes) -> Change:
    """Write into both headers."""
    return lambda data: (put(form, HEADER + at, *values)(data), put(form, 2 * HEADER + at, *values)(data))


def metadata(data: bytes) -> int:
    """Where the metadata are."""
    return max(number(data, "<Q", REGIONS + 16 + 32 * which + 16) for which in range(2))


def in_metadata(form: str, at: int, *values: int | bytes) -> Change:
    return lambda data: struct.pack_into(form, data, metadata(data) + at, *values)


VHDX: list[tuple[str, Change, str]] = [
    ("version", both("<H", 66, 2), "version 2"),
    ("log", both("<16s", 48, b"x" * 16), "log is not empty"),
    ("log outside", both("<Q", 72, 1 << 60), "log is not where"),
    ("log over the metadata", both("<IQ", 68, 8 * MIB, MIB), "in each other's place"),
    ("same number", both("<Q", 8, 5), "same number"),
    ("no header", both("<4s", 0, b"daeh"), "neither"),
    ("no regions", put("<4s", REGIONS, b"x"), "region tables"),
    ("too many regions", put("<I", REGIONS + 8, 2**32 - 1), "region tables"),
    ("one region", put("<I", REGIONS + 8, 1), "missing"),
    ("unknown region", in_regions(0, "<16sQII", 0, b"x" * 16, MIB, MIB, 1), "unknown"),
    ("region outside", in_regions(1, "<Q", 16, 1 << 60), "outside"),
    ("block table too short", in_regions(0, "<I", 24, 8), "no room"),
    ("no room for metadata", in_regions(1, "<I", 24, 0), "no room"),
    ("no metadata", in_metadata("<8s", 0, b"x"), "no metadata"),
    ("too much metadata", in_metadata("<H", 10, 2**16 - 1), "no metadata"),
    ("less metadata", in_metadata("<H", 10, 2), "missing"),
    ("unknown metadata", in_metadata("<16sIII", 32, b"x" * 16, 65536, 8, 4), "unknown"),
    ("item outside", in_metadata("<I", 32 + 16, 2**32 - 1), "not where it can be"),
    ("cut off", lambda data: data.__delitem__(slice(-MIB, None)), "damaged|cut off"),
    ("cut off in the tables", lambda data: data.__delitem__(slice(100 * KIB, None)), "cut off"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in VHDX], ids=[case[0] for case in VHDX])
def test_vhdx(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "vhdx", change), words)


FILE_PARAMETERS, DISK_SIZE, LOGICAL_SECTOR = (
    "3767a1ca36fa434db3b633f0aa44e76b",
    "2442a52f1bcd7648b2115dbed83bf4b8",
    "1dbf41816fa90947ba47f233a8faab5f",
)


def item(name: str, form: str, *values: int) -> Change:
    """Change the value of a metadata item."""

    def change(data: bytearray) -> None:
        start = metadata(data)
        entry = data.index(bytes.fromhex(name), start)
        struct.pack_into(form, data, start + number(data, "<I", entry + 16), *values)

    return change


def in_bat(value: int) -> Change:
    def change(data: bytearray) -> None:
        bat = min(number(data, "<Q", REGIONS + 16 + 32 * which + 16) for which in range(2))
        struct.pack_into("<Q", data, bat, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (item(FILE_PARAMETERS, "<II", MIB, 2), "parent"),
        (item(FILE_PARAMETERS, "<II", 512, 0), "512 bytes"),
        (item(FILE_PARAMETERS, "<II", 3 * MIB, 0), "bytes"),
        (item(DISK_SIZE, "<Q", 0), "empty"),
        (item(DISK_SIZE, "<Q", MIB + 100), "whole sectors"),
        (item(DISK_SIZE, "<Q", 2**64 - 512), "125 GiB"),
        (item(FILE_PARAMETERS, "<II", 256 * MIB, 0), "entry of its block 0"),
        (item(LOGICAL_SECTOR, "<I", 4096), "4,096"),
        (in_bat(1 << 40 | 6), "entry of its block 0"),
        (in_bat(MIB | 6), "entry of its block 0"),
        (in_bat(6), "entry of its block 0"),
        (in_bat(8 * MIB | 7), "entry of its block 0"),
        (in_bat(8 * MIB | 5), "entry of its block 0"),
    ],
)
def test_vhdx_with_wrong_values(tmp_path: Path, change: Change, words: str) -> None:
    refused(*changed(tmp_path, "vhdx", change), words)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("qcow2", ["-b", "BASE", "-F", "raw"], "backing file"),
        ("vmdk", ["-b", "BASE.vmdk", "-F", "vmdk"], "parent"),
        ("qcow2", ["-o", "data_file=OTHER"], "another file"),
        ("qcow2", ["-o", "extended_l2=on"], "extended L2"),
        ("qcow2", ["-o", "cluster_size=512"], "2\\*\\*9 bytes"),
        ("qcow2", ["--object", "secret,id=key,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=key"], "encrypted"),
        ("vmdk", ["-o", "subformat=monolithicFlat"], "not one sparse file"),
        ("vmdk", ["-o", "subformat=twoGbMaxExtentSparse"], "not one sparse file"),
    ],
)
def test_what_qemu_img_makes_and_we_refuse(tmp_path: Path, kind: DiskFormat, options: list[str], words: str) -> None:
    """The real thing instead of a changed byte."""
    (tmp_path / "BASE").write_bytes(content(MIB))
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "BASE.vmdk", "1M"], cwd=tmp_path, check=True)
    size = [] if "-b" in options else ["1M"]
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *options, "image", *size], cwd=tmp_path, check=True)
    refused((tmp_path / "image").read_bytes(), kind, words)


def test_a_snapshot_inside(tmp_path: Path) -> None:
    """As `savevm` leaves it."""
    image, format_ = make(tmp_path, content(MIB), "qcow2")
    subprocess.run(["qemu-img", "snapshot", "-c", "before", image], check=True)
    refused(image.read_bytes(), format_, "snapshots")
