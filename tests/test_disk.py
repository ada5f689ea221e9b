"""The disk that is made on the spot is a real one: read by a small reader of our own, and by whatever tools are there."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from broadside.disk import MIB, SECTOR, make_disk

needs = {
    tool: pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
    for tool in ("sfdisk", "fsck.fat", "mcopy", "file")
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    make_disk(path)
    return path


def partitions(image: bytes) -> list[tuple[int, int]]:
    """Offset and length in bytes of each GPT partition, after both headers and their checksums were found right."""
    assert image[510:512] == b"\x55\xaa"
    assert image[446 + 4] == 0xEE
    found = []
    for at in (1, len(image) // SECTOR - 1):
        header = image[at * SECTOR : at * SECTOR + 92]
        crc, own = struct.unpack("<I", header[16:20])[0], struct.unpack("<Q", header[24:32])[0]
        entries_at, count, size, entries_crc = struct.unpack("<QIII", header[72:92])
        entries = image[entries_at * SECTOR : entries_at * SECTOR + count * size]
        assert header.startswith(b"EFI PART")
        assert own == at
        assert crc == zlib.crc32(header[:16] + bytes(4) + header[20:])
        assert entries_crc == zlib.crc32(entries)
        ranges = [struct.unpack("<QQ", entries[n * size + 32 : n * size + 48]) for n in range(count)]
        found.append([(first * SECTOR, (last + 1 - first) * SECTOR) for first, last in ranges if last])
    assert found[0] == found[1]
    return found[0]


def files(volume: bytes) -> dict[str, bytes]:
    """Every file of a FAT16 volume by its path, each read along its chain of clusters."""
    per_cluster, reserved, fats, root_entries = struct.unpack("<BHBH", volume[13:19])
    fat_sectors = struct.unpack("<H", volume[22:24])[0]
    table = struct.unpack(f"<{fat_sectors * 256}H", volume[reserved * SECTOR : (reserved + fat_sectors) * SECTOR])
    root_at = (reserved + fats * fat_sectors) * SECTOR
    data_at = root_at + root_entries * 32

    def content(cluster: int) -> bytes:
        read = b""
        while cluster < 0xFFF8:
            at = data_at + (cluster - 2) * per_cluster * SECTOR
            read += volume[at : at + per_cluster * SECTOR]
            cluster = table[cluster]
        return read

    def walk(directory: bytes, path: str) -> dict[str, bytes]:
        read: dict[str, bytes] = {}
        for entry in (directory[at : at + 32] for at in range(0, len(directory), 32)):
            if entry[0] == 0:
                break
            base, extension, attribute = entry[:8].decode().strip(), entry[8:11].decode().strip(), entry[11]
            name = f"{path}/{base}" + (f".{extension}" if extension else "")
            cluster, size = struct.unpack("<HI", entry[26:32])
            if attribute & 0x10 and not base.startswith("."):
                read |= walk(content(cluster), name)
            elif attribute & 0x20:
                read[name] = content(cluster)[:size]
        return read

    return walk(volume[root_at:data_at], "")


def test_both_partitions_hold_their_files(disk: Path) -> None:
    """The partition table is right at both ends of the disk, and the files of both partitions read back whole."""
    image = disk.read_bytes()
    esp, root = ({**files(image[at : at + length])} for at, length in partitions(image))
    sums = dict(line.split("  ")[::-1] for line in root["/DATA/SHA256"].decode().splitlines())
    assert list(esp) == ["/EFI/BOOT/README.TXT"]
    assert root["/ETC/RELEASE"] == b"Broadside demonstration disk, seed broadside\n"
    assert len(sums) == 4
    assert {name: hashlib.sha256(root[f"/DATA/{name}"]).hexdigest() for name in sums} == sums


def test_the_same_seed_makes_the_same_disk(disk: Path, tmp_path: Path) -> None:
    """A disk is told by its seed: the same one gives the same bytes, another one other bytes."""
    make_disk(tmp_path / "same.img")
    make_disk(tmp_path / "other.img", seed="other")
    assert (tmp_path / "same.img").read_bytes() == disk.read_bytes()
    assert (tmp_path / "other.img").read_bytes() != disk.read_bytes()


def test_holes_take_no_room(disk: Path) -> None:
    """A disk of 64 MiB with 4 MiB of data takes less than 6 MiB of the machine's own."""
    assert disk.stat().st_size == 64 * MIB
    assert disk.stat().st_blocks * 512 < 6 * MIB


@pytest.mark.parametrize("size", [24 * MIB, 100 * MIB, 1024 * MIB, 2048 * MIB])
def test_other_sizes_read_back_too(tmp_path: Path, size: int) -> None:
    """Each size gets the cluster size that its file system needs: the boundaries of the accepted sizes work."""
    make_disk(tmp_path / "disk.img", size=size, data=MIB + 1)
    with (tmp_path / "disk.img").open("rb") as image:
        head = image.read(20 * MIB)
    at = 17 * MIB
    assert len(files(head[at:])["/DATA/0001.BIN"]) == 1


@pytest.mark.parametrize("size", [23 * MIB, 24 * MIB + 512, 2049 * MIB])
def test_an_impossible_size_is_refused(tmp_path: Path, size: int) -> None:
    """A size that the layout cannot have is refused with the sizes that it can."""
    with pytest.raises(ValueError, match="24 MiB to 2 GiB"):
        make_disk(tmp_path / "disk.img", size=size)


def test_too_much_data_is_refused(tmp_path: Path) -> None:
    """Data that does not fit is refused instead of being cut."""
    with pytest.raises(ValueError, match="do not fit"):
        make_disk(tmp_path / "disk.img", size=24 * MIB, data=10 * MIB)


@needs["sfdisk"]
def test_sfdisk_finds_no_fault(disk: Path) -> None:
    """util-linux reads the same partitions, and finds nothing to say against the table."""
    verified = subprocess.run(["sfdisk", "--verify", disk], capture_output=True, text=True, check=True)
    assert "No errors detected" in verified.stdout
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)["partitiontable"]
    assert table["label"] == "gpt"
    assert [partition["start"] for partition in table["partitions"]] == [2048, 34816]
    assert table["partitions"][0]["type"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


@needs["fsck.fat"]
@pytest.mark.parametrize("number", [0, 1])
def test_fsck_finds_no_fault(disk: Path, tmp_path: Path, number: int) -> None:
    """dosfstools finds each file system clean (a dirty one makes it exit with 1)."""
    image = disk.read_bytes()
    at, length = partitions(image)[number]
    (tmp_path / "volume").write_bytes(image[at : at + length])
    subprocess.run(["fsck.fat", "-n", "-v", tmp_path / "volume"], check=True)


@needs["mcopy"]
def test_mtools_reads_the_files(disk: Path) -> None:
    """mtools copies a file out of the root partition."""
    release = subprocess.run(["mcopy", "-i", f"{disk}@@{17 * MIB}", "::/ETC/RELEASE", "-"], capture_output=True, check=True)
    assert release.stdout == b"Broadside demonstration disk, seed broadside\n"


@needs["file"]
def test_file_calls_it_a_disk(disk: Path) -> None:
    """file(1) sees the protective MBR that stands for a GPT."""
    assert "ID=0xee" in subprocess.run(["file", disk], capture_output=True, text=True, check=True).stdout
