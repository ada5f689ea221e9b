"""A raw disk in gzip, xz or zstd comes out as it went in, bounded in size and memory, or is refused in one sentence."""

from __future__ import annotations

import gzip
import lzma
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.disks.packed import IN, OUT, PackedFormat, unpack
from chalicelib.errors import BadDisk
from tests.disks.images import MIB, TOOLS, content, pack

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, compress
else:
    from backports.zstd import CompressionParameter, compress

PACK = {"raw.gz": gzip.compress, "raw.xz": lzma.compress, "raw.zst": compress}
FORMATS: tuple[PackedFormat, ...] = ("raw.gz", "raw.xz", "raw.zst")
DISK = content(3 * MIB + 512)


def unpacked(data: bytes, format_: PackedFormat, limit: int = len(DISK), step: int = 100_000) -> bytes:
    return b"".join(unpack((data[at : at + step] for at in range(0, len(data), step)), format_, limit))


@pytest.mark.parametrize("tool", TOOLS)
def test_what_the_tools_pack_is_unpacked(tmp_path: Path, tool: str) -> None:
    """Once, and as several members, streams or frames behind each other."""
    data, format_ = pack(tmp_path, DISK, tool), TOOLS[tool][0]
    assert format_ in FORMATS
    assert unpacked(data, format_) == DISK
    assert unpacked(data * 3, format_, limit=3 * len(DISK)) == DISK * 3
    assert subprocess.run([TOOLS[tool][1][0], "-dc"], input=data * 2, capture_output=True, check=True).stdout == DISK * 2


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(1, 3), st.integers(1, 200))
def test_it_does_not_matter_how_the_file_comes(format_: PackedFormat, times: int, step: int) -> None:
    """Byte by byte, too."""
    disk = content(20_000)
    data = PACK[format_](disk) * times
    assert unpacked(data, format_, times * len(disk), step) == disk * times


@pytest.mark.parametrize("format_", FORMATS)
def test_pieces_are_small(format_: PackedFormat) -> None:
    """However large the chunks are, and however well they are packed."""
    pieces = list(unpack([PACK[format_](bytes(64 * MIB))], format_, 64 * MIB))
    assert max(map(len, pieces)) <= OUT
    assert IN < OUT


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("cut", [0, 1, 5, 20, 1000, -1, -5])
def test_what_is_cut_off_is_refused(format_: PackedFormat, cut: int) -> None:
    """Wherever."""
    with pytest.raises(BadDisk, match="cut off"):
        unpacked(PACK[format_](DISK)[:cut], format_)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("junk", [b"junk!", bytes(4096) + b"junk and more of it", DISK[:600], b"\x1f"])
def test_what_has_something_behind_it_is_refused(format_: PackedFormat, junk: bytes) -> None:
    """Padding of zeros is xz's alone, and four bytes at a time."""
    with pytest.raises(BadDisk, match=r"behind|cut off"):
        unpacked(PACK[format_](DISK) + junk, format_)


def test_the_padding_of_xz_is_no_fault() -> None:
    """The .xz file format, section 2.2."""
    data = lzma.compress(DISK)
    assert unpacked(data + bytes(8), "raw.xz") == DISK
    assert unpacked(data + bytes(4) + data + bytes(400_000), "raw.xz", 2 * len(DISK)) == DISK * 2
    with pytest.raises(BadDisk, match="3 bytes of zeros"):
        unpacked(data + bytes(3), "raw.xz")


def test_frames_of_zstd_that_hold_nothing_are_skipped() -> None:
    """RFC 8878, section 3.1.2: as pzstd writes them."""
    skippable = (0x184D2A51).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    assert unpacked(skippable + compress(DISK) + skippable, "raw.zst") == DISK


@pytest.mark.parametrize("format_", FORMATS)
def test_a_bomb_goes_off_at_the_limit(format_: PackedFormat) -> None:
    """Nothing behind it is unpacked."""
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for chunk in (PACK[format_](bytes(8 * MIB)) for _ in range(10**6)):
            taken += 1
            yield chunk

    with pytest.raises(BadDisk, match="more than 33,554,432 bytes"):
        list(unpack(chunks(), format_, 32 * MIB))
    assert taken <= 5


@pytest.mark.parametrize("format_", FORMATS)
def test_the_last_byte_within_the_limit_counts(format_: PackedFormat) -> None:
    """A disk may be as large as the limit, and no byte larger."""
    assert unpacked(PACK[format_](DISK), format_, len(DISK)) == DISK
    with pytest.raises(BadDisk, match="larger"):
        unpacked(PACK[format_](DISK), format_, len(DISK) - 1)


def test_packing_that_wants_much_memory_is_refused() -> None:
    """A dictionary or window of half a GiB, which only the header asks for."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    with pytest.raises(BadDisk, match=r"unpacked with xz.*[Mm]emory"):
        unpacked(lzma.compress(DISK, filters=filters), "raw.xz")
    frame = compress(DISK, options={CompressionParameter.window_log: 29, CompressionParameter.content_size_flag: 0})
    wide = bytearray(frame)
    assert not wide[4] & 0x20  # no single segment: the next byte is the window (RFC 8878, section 3.1.1.1.2)
    wide[5] = (29 - 10) << 3
    with pytest.raises(BadDisk, match=r"unpacked with zstd.*memory"):
        unpacked(bytes(wide), "raw.zst")


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("data", [b"", DISK[:1000], b"QFI\xfb" + bytes(600)])
def test_what_is_not_packed_is_refused(format_: PackedFormat, data: bytes) -> None:
    """Nor is one format taken for another."""
    others = [PACK[other](DISK) for other in FORMATS if other != format_]
    for each in (data, *others):
        with pytest.raises(BadDisk, match=r"not packed so|cut off"):
            unpacked(each, format_)


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_disk_is_refused(format_: PackedFormat) -> None:
    """Well packed, and nothing in it."""
    with pytest.raises(BadDisk, match="empty"):
        unpacked(PACK[format_](b""), format_)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("inside", [b"QFI\xfb" + bytes(1020), gzip.compress(DISK), bytes(1024) + b"conectix" + bytes(504)])
def test_only_a_raw_disk_may_be_inside(format_: PackedFormat, inside: bytes) -> None:
    """An image of another format is not what a machine boots from."""
    with pytest.raises(BadDisk, match="said to be raw"):
        unpacked(PACK[format_](inside), format_)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_wrong_byte_is_refused(format_: PackedFormat) -> None:
    """All three have checksums."""
    parameters = {CompressionParameter.checksum_flag: 1}
    data = bytearray(compress(DISK, options=parameters) if format_ == "raw.zst" else PACK[format_](DISK))
    data[len(data) // 2] ^= 1
    with pytest.raises(BadDisk, match="damaged"):
        unpacked(bytes(data), format_)
