"""What differs between two disks, block by block."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from broadside.difference import CELLS, compare, picture, size
from chalicelib.snapshots.blocks import ZERO_DIGEST, to_write


def digest(content: int) -> bytes:
    """The digest of a block with some content; 0 is a block of zeros."""
    return ZERO_DIGEST if content == 0 else hashlib.sha256(str(content).encode()).digest()


def digests(*contents: int) -> list[bytes]:
    return [digest(each) for each in contents]


def test_only_blocks_that_differ_are_written() -> None:
    """A changed block counts, one that became zeros counts, one beyond the old end counts; what stayed does not."""
    found = compare(digests(9, 1, 2, 3, 0), digests(9, 1, 7, 0, 0, 5, 0), blocks=7)
    # The first block always counts: a snapshot into which nothing was written is not defined.
    assert [index for index, cell in enumerate(found.cells) if cell.written] == [0, 2, 3, 5, 6]
    assert (found.old, found.new, found.data, found.written, found.full) == (5, 7, 4, 5, 7)
    assert found.share == pytest.approx(5 / 7)
    assert found.written_data == 3
    assert found.data_share == pytest.approx(3 / 4)


def test_zeros_are_left_out_only_where_nothing_was_written() -> None:
    """With zeros left out, a block that became zeros on top of data is still written."""
    found = compare(digests(9, 1, 2), digests(9, 0, 2, 0, 4), blocks=5, skip_zeros=True)
    assert [index for index, cell in enumerate(found.cells) if cell.written] == [0, 1, 4]
    assert found.full == 3


def test_the_share_of_the_data_is_not_thinned_by_zeros() -> None:
    """On a disk of mostly zeros, all of whose data moved, the share of what is written is small; that of the data is 1."""
    found = compare(digests(1, 2, *[0] * 98), digests(3, 4, *[0] * 98), blocks=100)
    assert (found.share, found.data_share) == (0.02, 1.0)


def test_a_disk_of_zeros_has_no_share_of_data() -> None:
    """Nothing is divided by nothing."""
    found = compare([], digests(0, 0), blocks=2, skip_zeros=True)
    assert (found.written, found.data_share, found.share) == (1, 0.0, 1.0)


def test_without_an_old_disk_everything_is_written() -> None:
    """A first build writes every block."""
    found = compare([], digests(1, 0, 2), blocks=3)
    assert (found.written, found.full, found.old) == (3, 3, 0)


def test_a_disk_that_shrank_counts_the_blocks_that_are_gone() -> None:
    """The old disk's length is told also where the new one has ended."""
    found = compare(digests(1, 2, 3, 4), digests(1, 2), blocks=2)
    assert (found.old, found.new, found.written) == (4, 2, 1)


def test_the_cells_add_up_to_what_the_writer_does() -> None:
    """Cut into cells of many blocks, the comparison counts exactly the blocks that the writer writes."""
    source = random.Random(5)  # noqa: S311 - the same disks each time
    old = digests(*(source.choice((0, 1, 2)) for _ in range(5 * CELLS)))
    new = digests(*(source.choice((0, 1, 2)) for _ in range(5 * CELLS + 3)))
    for skip in (False, True):
        found = compare(old, new, blocks=len(new), skip_zeros=skip)
        assert found.written == len(list(to_write(b"".join(new), b"".join(old), skip_zeros=skip)))
        assert found.full == len(list(to_write(b"".join(new), None, skip_zeros=skip)))
        assert sum(cell.blocks for cell in found.cells) == found.new == len(new)


def test_memory_does_not_grow_with_the_disk() -> None:
    """Two disks of 100 GiB are compared in some hundred KiB: their digests stream through."""
    blocks = 200_000

    def stream(seed: bytes) -> Iterator[bytes]:
        return (hashlib.sha256(seed + bytes([number % 7])).digest() for number in range(blocks))

    tracemalloc.start()
    compare(stream(b"a"), stream(b"b"), blocks=blocks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_the_picture_shows_where_the_changes_lie() -> None:
    """Blank for zeros, a dot for data that stays, a full mark for what is written; each line begins with its offset."""
    found = compare(digests(*[1] * 128), digests(1, *[1] * 63, *[0] * 10, *[1] * 54), blocks=128)
    first, second = picture(found)
    assert first == f"{'0 B':>9}  █{'·' * 63}"
    assert second == f"{'32 MiB':>9}  {'█' * 10}{'·' * 54}"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (524288, "512 KiB"), (8 << 30, "8.0 GiB"), (5 << 40, "5.0 TiB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    """Small sizes are whole numbers, large ones have one decimal."""
    assert size(count) == text
