"""A build's files: reading a pinned object at speed within a bounded memory, and comparing it with the manifest."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from chalicelib import aws
from chalicelib.builds.manifest import File, Manifest
from chalicelib.errors import CloudBusy, CloudRefused, FileMismatch
from chalicelib.index.records import BuildRecord, PinnedFile

#: Bytes in one request, and how many requests are ahead of the reader: at most 40 MiB in memory, and S3 gives each
#: connection some 80 MB/s.
RANGE = 8 * 1024 * 1024
AHEAD = 4

#: How often one range is asked for, each time from where the connection before broke.
TRIES = 6


@dataclass(frozen=True)
class Digests:
    """What a file holds: its size in bytes and its digests in lower-case hex."""

    size: int
    sha256: str
    sha512: str
    md5: str


def digest(chunks: Iterable[bytes]) -> Digests:
    """Read the chunks once and compute all three digests, side by side: hashlib lets threads run."""
    sha256, sha512, md5 = hashes = (hashlib.sha256(), hashlib.sha512(), hashlib.md5(usedforsecurity=False))
    size = 0
    with ThreadPoolExecutor(len(hashes)) as pool:
        for chunk in chunks:
            size += len(chunk)
            for future in [pool.submit(each.update, chunk) for each in hashes]:
                future.result()
    return Digests(size, sha256.hexdigest(), sha512.hexdigest(), md5.hexdigest())


def compare(file: File, found: Digests) -> None:
    """Compare what a file holds with what its manifest says.

    Raises:
        FileMismatch: they differ; the first difference of size, SHA-256, SHA-512 and MD5 is named.
    """
    check_size(file, found.size)
    for name, said, is_ in (
        ("SHA-256", file.sha256, found.sha256),
        ("SHA-512", file.sha512, found.sha512),
        ("MD5", file.md5, found.md5),
    ):
        if said != is_:
            raise FileMismatch(
                f"{file.path} has the {name} {is_}, but its manifest says {said}: upload the right file, or a new manifest."
            )


def check_size(file: File, size: int) -> None:
    """Compare the size alone, which costs no reading.

    Raises:
        FileMismatch: it is another.
    """
    if size != file.size:
        raise FileMismatch(
            f"{file.path} has {size:,} bytes, but its manifest says {file.size:,}: upload the right file, or a new manifest."
        )


def verify(s3: aws.Client, bucket: str, record: BuildRecord, path: str) -> None:
    """Read the pinned object of one file and compare it with the signed manifest.

    Raises:
        FileMismatch: it holds something else, or its pinned version is gone.
        BadManifest: the build has no such file.
        CloudBusy, CloudRefused: S3 does not give it.
    """
    file = Manifest.model_validate(record.manifest).file(path)
    pinned = next(each for each in record.files if each.path == path)
    compare(file, digest(stream(s3, bucket, pinned)))


def stream(
    s3: aws.Client,
    bucket: str,
    pinned: PinnedFile,
    first: int = 0,
    last: int | None = None,
    *,
    size: int = RANGE,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bytes]:
    """Yield the bytes ``first`` to ``last`` (exclusive; None is the end) of the pinned object version, in order.

    Args:
        s3: a client with at least :data:`AHEAD` connections.
        size: bytes in each chunk but the last; :data:`AHEAD` more chunks than the caller holds are in memory.

    Raises:
        FileMismatch: the pinned version is gone.
        CloudBusy: a range was asked for :data:`TRIES` times and still broke off.
        CloudRefused: S3 refuses it.
    """
    end = pinned.size if last is None else last
    pool = ThreadPoolExecutor(AHEAD)
    ahead: deque[Future[bytes]] = deque()
    try:
        for start in range(first, end, size):
            ahead.append(pool.submit(_fetch, s3, bucket, pinned, start, min(start + size, end), sleep=sleep))
            if len(ahead) >= AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch(s3: aws.Client, bucket: str, pinned: PinnedFile, first: int, last: int, *, sleep: Callable[[float], None]) -> bytes:
    """One range; a connection that breaks is resumed where it broke."""
    data = bytearray()
    trouble: Exception | None = None
    for attempt in range(TRIES):
        if attempt:
            sleep(0.2 * 2**attempt)
        try:
            answer = s3.get_object(
                Bucket=bucket, Key=pinned.key, VersionId=pinned.version_id, Range=f"bytes={first + len(data)}-{last - 1}"
            )
            for chunk in answer["Body"].iter_chunks(1024 * 1024):
                data += chunk
        except CloudRefused as error:
            if error.code in ("NoSuchKey", "NoSuchVersion", "404"):
                raise FileMismatch(f"{pinned.path} was deleted after its upload: upload it and its manifest again.") from error
            raise
        except (CloudBusy, BotoCoreError, OSError) as error:
            trouble = error
        if len(data) == last - first:
            return bytes(data)
    raise CloudBusy(
        f"s3:get_object of {pinned.key} broke off {TRIES} times in its bytes {first} to {last}: {trouble}",
        code="BrokenStream",
        action="get_object",
        region=s3.region,
    )
