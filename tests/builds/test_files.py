"""Reading a pinned object: in order, within a bounded memory, through broken connections."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from threading import Lock
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from chalicelib import aws
from chalicelib.builds import files
from chalicelib.builds.files import AHEAD, TRIES, compare, digest, stream, verify
from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, FileMismatch
from chalicelib.index.records import PinnedFile
from tests.builds.yard import REGION, Yard
from tests.examples import CONTENT, text


class Broken:
    """An S3 whose connections break after ``after`` bytes, at most ``times`` times."""

    def __init__(self, content: bytes, after: int, times: int) -> None:
        self.content, self.after, self.times = content, after, times
        self.asked: list[tuple[int, int]] = []
        self.lock = Lock()

    def get_object(self, **parameters: Any) -> Any:
        assert parameters["VersionId"] == "v1"
        first, last = (int(part) for part in parameters["Range"].removeprefix("bytes=").split("-"))
        with self.lock:
            self.asked.append((first, last))
            breaks = len(self.asked) <= self.times
        return {"Body": Body(self.content[first : last + 1], self.after if breaks else None)}


class Body:
    def __init__(self, data: bytes, after: int | None) -> None:
        self.data, self.after = data, after

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        assert size > 0
        yield self.data[: self.after]
        if self.after is not None:
            raise ResponseStreamingError(error="connection reset")


def read(s3: Broken, *limits: int, size: int) -> list[bytes]:
    pinned = PinnedFile("disk.img", "folder/disk.img", "v1", len(s3.content))
    return list(stream(aws.Client("s3", REGION, s3), "builds", pinned, *limits, size=size, sleep=lambda _: None))


def test_chunks_come_in_order_and_whole() -> None:
    """Whatever the order in which the connections answer."""
    chunks = read(Broken(CONTENT, 0, 0), size=100)
    assert b"".join(chunks) == CONTENT
    assert {len(chunk) for chunk in chunks[:-1]} == {100}


def test_a_part_of_an_object_is_read_alone() -> None:
    """A shard of it, the end exclusive."""
    s3 = Broken(CONTENT, 0, 0)
    assert b"".join(read(s3, 150, 460, size=100)) == CONTENT[150:460]
    assert sorted(s3.asked) == [(150, 249), (250, 349), (350, 449), (450, 459)]


def test_a_broken_connection_is_resumed_where_it_broke() -> None:
    """Nothing is read twice."""
    s3 = Broken(CONTENT, after=40, times=2)
    assert b"".join(read(s3, 0, 100, size=100)) == CONTENT[:100]
    assert s3.asked == [(0, 99), (40, 99), (80, 99)]


def test_a_connection_that_keeps_breaking_is_given_up() -> None:
    """For another try of the whole step, later."""
    s3 = Broken(CONTENT, after=0, times=99)
    with pytest.raises(CloudBusy, match="connection reset"):
        read(s3, 0, 100, size=100)
    assert len(s3.asked) == TRIES


def test_memory_is_bounded() -> None:
    """No more is asked for than a few ranges ahead of the reader, and nothing after the reader has left."""
    s3 = Broken(CONTENT, 0, 0)
    pinned = PinnedFile("disk.img", "folder/disk.img", "v1", len(CONTENT))
    chunks = stream(aws.Client("s3", REGION, s3), "builds", pinned, size=10)
    for number in range(1, 6):
        next(chunks)
        assert len(s3.asked) <= number + AHEAD - 1
    chunks.close()  # type: ignore[attr-defined]
    assert len(s3.asked) <= 5 + AHEAD - 1


def test_digests_are_those_of_the_whole() -> None:
    """However it is cut."""
    whole = digest([CONTENT])
    assert (whole.size, whole.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (whole.sha512, whole.md5) == (hashlib.sha512(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest())  # noqa: S324
    assert digest([CONTENT[:7], b"", CONTENT[7:]]) == whole
    assert digest([]).size == 0


@pytest.mark.parametrize("name", ["sha256", "sha512", "md5"])
def test_every_digest_of_the_manifest_must_be_right(name: str) -> None:
    """All three are published, so that readers find any of them wrong."""
    length = len(getattr(digest([CONTENT]), name))
    manifest = Manifest.parse(text(**{f"files__0__{name}": "0" * length}))
    with pytest.raises(FileMismatch, match=f"disk.img has the .*, but its manifest says {'0' * length}: upload"):
        compare(manifest.files[0], digest([CONTENT]))


def test_the_pinned_version_is_what_is_verified(yard: Yard) -> None:
    """Neither what replaced it nor, once it is gone, what lies in its place."""
    yard.put_build()
    yard.ingest()
    record = yard.build()
    yard.put("disk.img", b"something else")
    verify(yard.s3, "builds", record, "disk.img")
    (pinned,) = record.files
    yard.s3.delete_object(Bucket="builds", Key=pinned.key, VersionId=pinned.version_id)
    with pytest.raises(FileMismatch, match=r"disk\.img was deleted after its upload"):
        verify(yard.s3, "builds", record, "disk.img")


def test_other_content_of_the_same_size_is_found(yard: Yard) -> None:
    """By its SHA-256, in one sentence with both digests."""
    yard.put("disk.img", b"x" * len(CONTENT))
    yard.put_manifest()
    yard.ingest()
    with pytest.raises(FileMismatch, match=r"disk\.img has the SHA-256 [0-9a-f]{64}, but its manifest says [0-9a-f]{64}"):
        verify(yard.s3, "builds", yard.build(), "disk.img")


def test_ranges_fit_a_small_function() -> None:
    """What is in memory at most."""
    assert files.RANGE * (AHEAD + 1) <= 64 * 1024 * 1024
