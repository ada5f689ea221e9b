"""A raw disk that is compressed as a whole, in gzip, xz or zstd: unpacked as it streams by, in bounded memory.

Several members, streams or frames behind each other are one disk, as the tools have it (RFC 1952, section 2.2; the .xz file
format, section 2; RFC 8878, section 3.1); anything else behind the end is refused.
"""

from __future__ import annotations

import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol, TypeGuard

from chalicelib.disks.reading import SECTOR
from chalicelib.disks.signs import check_raw
from chalicelib.errors import BadDisk

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["PackedFormat", "ZstdError", "is_packed", "unpack", "zstd_decompressor"]

PackedFormat = Literal["raw.gz", "raw.xz", "raw.zst"]

#: Bytes that are handed out, and taken in, at a time.
OUT, IN = 1024 * 1024, 64 * 1024

#: What unpacking may remember of the disk: 128 MiB, twice what `xz -9` needs, and as much as `zstd -d` grants.
WINDOW_LOG = 27
XZ_MEMORY = (1 << WINDOW_LOG) + 16 * 1024 * 1024


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """zlib's decompressor, behaving as the ones for xz and zstd do."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        unpacked = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = len(unpacked) < max_length
        return unpacked


def is_packed(format: str) -> TypeGuard[PackedFormat]:  # noqa: A002 - the manifest's word
    """Whether a format is for :func:`unpack`."""
    return format in _TOOLS


def zstd_decompressor() -> ZstdDecompressor:
    """Unpacks one frame, if it is content with our window."""
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: WINDOW_LOG})


_DECODERS: dict[PackedFormat, Callable[[], _Decoder]] = {
    "raw.gz": _Gunzip,
    "raw.xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
    "raw.zst": zstd_decompressor,
}
_TOOLS: dict[PackedFormat, str] = {"raw.gz": "gzip", "raw.xz": "xz", "raw.zst": "zstd"}


def unpack(chunks: Iterable[bytes], format: PackedFormat, limit: int) -> Iterator[bytes]:  # noqa: A002 - the manifest's word
    """Unpack a raw disk, in pieces of at most 1 MiB; some 150 MiB are the most that it takes.

    Args:
        chunks: the file, in order.
        limit: the bytes that the disk may have.

    Raises:
        BadDisk: it is not in that format, is damaged or cut off, has something behind it, wants too much memory to be
            unpacked, has more bytes than ``limit`` or none, or is no raw disk.
    """
    tool, size, last = _TOOLS[format], 0, b""
    for piece in _pieces(_small(chunks), format):
        if not size:
            check_raw(piece, b"")
        size += len(piece)
        if size > limit:
            raise BadDisk(f"The image is larger than it may be once {tool} has unpacked it: more than {limit:,} bytes.")
        last = (last + piece)[-SECTOR:]
        yield piece
    if not size:
        raise BadDisk(f"The image holds an empty disk, packed with {tool}.")
    check_raw(b"", last)


def _small(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), IN):
            yield chunk[at : at + IN]


def _pieces(chunks: Iterable[bytes], format: PackedFormat) -> Iterator[bytes]:  # noqa: A002
    tool, members, padding = _TOOLS[format], 0, 0
    decoder: _Decoder | None = None
    for chunk in chunks:
        rest = chunk
        while rest:
            if decoder is None:
                if members and format == "raw.xz":  # section 2.2: zeros may follow a stream, four at a time
                    zeros = len(rest) - len(rest.lstrip(b"\0"))
                    padding, rest = padding + zeros, rest[zeros:]
                    if not rest:
                        break
                decoder, members = _DECODERS[format](), members + 1
            yield from _decode(decoder, rest, tool, members)
            rest, decoder = (decoder.unused_data, None) if decoder.eof else (b"", decoder)
    if decoder is not None or not members:
        raise BadDisk(f"The image is cut off: what {tool} packed does not end.")
    if padding % 4:
        raise BadDisk(f"The image has something behind what {tool} packed: {padding} bytes of zeros.")


def _decode(decoder: _Decoder, data: bytes, tool: str, member: int) -> Iterator[bytes]:
    """What ``data`` add to a member."""
    while True:
        try:
            unpacked = decoder.decompress(data, OUT)
        except (zlib.error, lzma.LZMAError, ZstdError) as error:
            where = (
                f"in part {member}, if that is a part of it and not something behind its end"
                if member > 1
                else "or not packed so"
            )
            raise BadDisk(f"The image cannot be unpacked with {tool}: it is damaged, {where} ({error}).") from error
        if unpacked:
            yield unpacked
        if decoder.eof or decoder.needs_input:
            return
        data = b""
