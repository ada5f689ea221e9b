"""The disks that commands compare: a file on this machine, or a published build, as the digests of their blocks."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from broadside.cli.builds import recorded
from broadside.cli.common import App, client, make_console
from chalicelib.disks.formats import guess, open_disk
from chalicelib.disks.packed import PackedFormat, is_packed, unpack
from chalicelib.disks.reading import MAX_DISK, LocalFile
from chalicelib.disks.signs import ENDS, DiskFormat
from chalicelib.errors import BadDisk
from chalicelib.index.records import BuildRecord
from chalicelib.snapshots.blocks import BLOCK_SIZE, DIGEST_SIZE, ZERO_BLOCK, ZERO_DIGEST, block_count
from chalicelib.snapshots.digests import DigestLists

#: Seconds of silence before there is a bar.
PATIENCE = 2.0


@dataclass(frozen=True)
class Disk:
    """A disk of ``size`` bytes, and a way to go through the digests of its blocks, from the first to the last."""

    name: str
    size: int
    digests: Callable[[], Iterator[bytes]]

    @property
    def blocks(self) -> int:
        return block_count(self.size)


def fits_on(new: Disk, old: Disk) -> bool:
    """Whether snapshots of ``new`` are chained to those of ``old``: one cannot hide what lies beyond its own end."""
    return new.size >= old.size


def open_disk_or_build(app: App, text: str) -> tuple[Disk, BuildRecord | None]:
    """The disk that ``text`` means: a file where there is one, else a build, with its record.

    Raises:
        BadDisk: the file cannot be read, or nothing is known of the build's blocks.
        NoSuchBuild: it is neither.
        CloudError: from the index or the work bucket.
    """
    if Path(text).exists():
        return open_file(Path(text)), None
    record = recorded(app.index, text)
    return open_build(app, record), record


def open_file(path: Path) -> Disk:
    """The disk in an image of any format.

    Raises:
        BadDisk: it is no file, may not be read, or is not a whole image of a format that can be published.
    """
    if not path.is_file():
        raise BadDisk(f"{path} is no file.")
    try:
        with LocalFile(path) as file:
            ends = min(ENDS, file.size)
            format_ = guess(file.read(0, ends), file.read(file.size - ends, ends), path.name)
            size = sum(map(len, _packed(path, format_))) if is_packed(format_) else open_disk(file, format_).size
    except OSError as error:
        raise BadDisk(f"{path} cannot be read: {error.strerror}.") from error
    except BadDisk as error:
        raise BadDisk(f"{path}: {error}") from error
    return Disk(str(path), size, lambda: _file_digests(path, format_))


def _file_digests(path: Path, format_: DiskFormat) -> Iterator[bytes]:
    try:
        for block in _packed_blocks(path, format_) if is_packed(format_) else _blocks(path, format_):
            padded = block.ljust(BLOCK_SIZE, b"\0")
            yield ZERO_DIGEST if padded == ZERO_BLOCK else hashlib.sha256(padded).digest()
    except BadDisk as error:
        raise BadDisk(f"{path}: {error}") from error


def _blocks(path: Path, format_: DiskFormat) -> Iterator[bytes]:
    with LocalFile(path) as file:
        disk = open_disk(file, format_)
        for at in range(0, disk.size, BLOCK_SIZE):
            yield disk.read(at, BLOCK_SIZE)


def _packed_blocks(path: Path, format_: PackedFormat) -> Iterator[bytes]:
    rest = b""
    for piece in _packed(path, format_):
        rest += piece
        whole = len(rest) - len(rest) % BLOCK_SIZE
        yield from (rest[at : at + BLOCK_SIZE] for at in range(0, whole, BLOCK_SIZE))
        rest = rest[whole:]
    if rest:
        yield rest


def _packed(path: Path, format_: PackedFormat) -> Iterator[bytes]:
    """The disk that is packed in a file; it is unpacked once for its size, and once for its blocks."""
    with path.open("rb") as file:
        yield from unpack(iter(lambda: file.read(BLOCK_SIZE), b""), format_, MAX_DISK)


def open_build(app: App, record: BuildRecord) -> Disk:
    """The disk of a published build, by the digest list that its publication left in the work bucket.

    Raises:
        BadDisk: there is no such list (yet).
        CloudError: the work bucket is out of reach.
    """
    digests = DigestLists(client(app.session, "s3"), app.stack.work_bucket).read(record.digest)
    if digests is None:
        raise BadDisk(f"Nothing is known of the blocks of {record.id} (yet): its snapshots were never written to the end.")
    return Disk(str(record.id), record.disk_size, lambda: _cut(digests))


def _cut(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE))


@contextmanager
def digests_of(old: Disk | None, new: Disk) -> Iterator[tuple[Iterator[bytes], Iterator[bytes]]]:
    """The digests of two disks, or of one and nothing, with a bar on a terminal once it takes longer than :data:`PATIENCE`."""
    console = make_console(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    disks = [disk for disk in (old, new) if disk is not None]
    task = progress.add_task("Reading", total=sum(disk.blocks for disk in disks))
    begun = time.monotonic()

    def counted(digests: Iterator[bytes]) -> Iterator[bytes]:
        for digest in digests:
            yield digest
            progress.advance(task)
            if console.is_terminal and not progress.live.is_started and time.monotonic() - begun > PATIENCE:
                progress.start()

    try:
        yield (iter(()) if old is None else counted(old.digests())), counted(new.digests())
    finally:
        progress.stop()
