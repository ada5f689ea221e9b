"""What differs between two disks, block by block, without I/O: from their digests alone, in memory that does not grow.

The digests are the SHA-256 of each block (:data:`~chalicelib.snapshots.blocks.BLOCK_SIZE` bytes, the last one padded with
zeros), from the first block to the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from chalicelib.snapshots.blocks import BLOCK_SIZE, DIGEST_SIZE, ZERO_DIGEST, digest, to_write

#: Most cells of a map: 16 lines of 64.
CELLS = 1024


@dataclass(frozen=True)
class Cell:
    """Some blocks that lie side by side: how many there are, hold data (are not all zeros), and have to be written."""

    blocks: int
    data: int
    written: int
    #: Of those that have to be written: how many hold data.
    written_data: int


@dataclass(frozen=True)
class Difference:
    """What it takes to write a disk on top of another one.  All numbers count blocks."""

    #: Blocks of the old disk and of the new one, zeros included.
    old: int
    new: int
    #: Of the new disk: those that are not all zeros.
    data: int
    #: Written into a snapshot whose parent holds the old disk; of these, those that are not all zeros.
    written: int
    written_data: int
    #: Written into a snapshot without a parent.
    full: int
    #: Where they lie: equal parts of the disk, of ``cell_blocks`` blocks each but for the last.
    cells: tuple[Cell, ...]
    cell_blocks: int

    @property
    def share(self) -> float:
        """Blocks written, of those that a first build writes; more than 1 where that leaves out zeros and this must not."""
        return self.written / self.full if self.full else 0.0

    @property
    def data_share(self) -> float:
        """Blocks with data that are written, of all that the disk has: from 0 to 1."""
        return self.written_data / self.data if self.data else 0.0

    @property
    def written_bytes(self) -> int:
        return self.written * BLOCK_SIZE


def compare(old: Iterable[bytes], new: Iterable[bytes], *, blocks: int, skip_zeros: bool = False) -> Difference:
    """Compare two disks, digest by digest.

    Args:
        old: the parent's digests; none at all for a disk that has no parent.
        new: the disk's.  Each is read once, side by side.
        blocks: how many ``new`` has, so that the map can be laid out.
        skip_zeros: leave out zeros where nothing was written before, as in :func:`chalicelib.snapshots.blocks.to_write`.
    """
    below, above = iter(old), iter(new)
    width = max(1, -(-blocks // CELLS))
    cells = []
    old_count = full = 0
    for start in range(0, blocks, width):
        parent = b"".join(islice(below, width))
        disk = b"".join(islice(above, width))
        old_count += len(parent) // DIGEST_SIZE
        full += sum(1 for _ in to_write(disk, None, skip_zeros=skip_zeros, start=start))
        cells.append(_cell(disk, parent, start, skip_zeros))
    return Difference(
        old=old_count + sum(1 for _ in below),
        new=sum(cell.blocks for cell in cells),
        data=sum(cell.data for cell in cells),
        written=sum(cell.written for cell in cells),
        written_data=sum(cell.written_data for cell in cells),
        full=full,
        cells=tuple(cells),
        cell_blocks=width,
    )


def _cell(disk: bytes, parent: bytes, start: int, skip_zeros: bool) -> Cell:
    everything = range(len(disk) // DIGEST_SIZE)
    written = list(to_write(disk, parent, skip_zeros=skip_zeros, start=start))
    return Cell(len(everything), _with_data(disk, everything), len(written), _with_data(disk, written))


def _with_data(disk: bytes, positions: Iterable[int]) -> int:
    return sum(digest(disk, position) != ZERO_DIGEST for position in positions)


def picture(difference: Difference, width: int = 64) -> list[str]:
    """The disk as text, ``width`` cells a line, each line with the offset at which it begins.

    A cell is a blank where there are only zeros that stay, a dot where data stays, and the darker the more is written.
    """
    marks = [_mark(cell) for cell in difference.cells]
    line_bytes = difference.cell_blocks * width * BLOCK_SIZE
    return [
        f"{size(number * line_bytes):>9}  {''.join(marks[number * width : (number + 1) * width])}".rstrip()
        for number in range(-(-len(marks) // width))
    ]


def _mark(cell: Cell) -> str:
    if not cell.written:
        return "·" if cell.data else " "
    return "░▒▓█"[min(3, 4 * cell.written // cell.blocks)]


def size(count: int) -> str:
    """A number of bytes for people: ``512 KiB``, ``8.0 GiB``."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if unit in ("GiB", "TiB") else f"{value:.0f} {unit}"
