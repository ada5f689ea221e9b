"""Promises about what is known of blocks: receipts and digest lists in the work bucket."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import CloudRefused
from chalicelib.snapshots.blocks import Shard
from chalicelib.snapshots.digests import DigestLists, Receipt, Receipts, written
from tests.snapshots.bench import BUCKET, Bench, refused

DIGESTS = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(b"".join)
SNAPSHOTS = st.frozensets(st.from_regex(r"snap-[0-9a-f]{17}", fullmatch=True), max_size=4)
LIST = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(6))


@given(st.integers(0, 1 << 20), DIGESTS, SNAPSHOTS)
def test_a_receipt_comes_back_as_it_was_written(start: int, digests: bytes, snapshots: frozenset[str]) -> None:
    """Whatever bytes the digests hold, line ends among them."""
    receipt = Receipt(start, digests, snapshots)
    assert Receipt.from_bytes(receipt.to_bytes()) == receipt


def test_receipts_are_found_by_build_and_by_shard(bench: Bench) -> None:
    """Those of one shard, or all of one build; another build's never."""
    mine, other = Receipts(bench.s3, BUCKET, "aa"), Receipts(bench.s3, BUCKET, "ab")
    first, second = Receipt(0, LIST, frozenset({"snap-1"})), Receipt(4, LIST, frozenset({"snap-1", "snap-2"}))
    mine.put(first)
    mine.put(second)
    other.put(Receipt(0, LIST, frozenset({"snap-9"})))
    assert mine.read() == [first, second]
    assert mine.read(Shard(4, 4)) == [second]
    assert mine.read(Shard(8, 4)) == []


def test_a_run_that_comes_twice_leaves_one_receipt_and_takes_none_away(bench: Bench) -> None:
    """What two runs over one shard did for different Regions adds up."""
    receipts = Receipts(bench.s3, BUCKET, "aa")
    for snapshots in ({"snap-1"}, {"snap-1"}, {"snap-2"}):
        receipts.put(Receipt(0, LIST, frozenset(snapshots)))
    assert len(receipts.read()) == 2
    assert written(receipts.read(), "snap-1") == written(receipts.read(), "snap-2") == {0}
    assert written(receipts.read(), "snap-3") == set()


def test_a_part_of_a_digest_list_ends_where_the_disk_ends(bench: Bench) -> None:
    """In the middle, across the end, behind it; and no list at all is told from an empty part."""
    lists = DigestLists(bench.s3, BUCKET)
    lists.put("aa", LIST)
    assert lists.read("aa") == LIST
    assert lists.read("aa", Shard(1, 2)) == LIST[32:96]
    assert lists.read("aa", Shard(4, 4)) == LIST[128:]
    assert lists.read("aa", Shard(6, 4)) == b""
    assert lists.read("aa", Shard(60, 4)) == b""
    assert lists.read("bb") is None
    assert lists.read("bb", Shard(0, 4)) is None
    assert (lists.there("aa"), lists.there("bb")) == (True, False)


def test_a_list_that_may_not_be_read_is_not_taken_for_none(bench: Bench) -> None:
    """Otherwise a build would be written in full, or worse, because of a wrong policy."""
    denied = bench.watch(bench.s3)
    denied.before = refused("AccessDenied")
    with pytest.raises(CloudRefused, match="AccessDenied"):
        DigestLists(denied, BUCKET).read("aa")
