"""Bringing the public files up to what the index table holds.

What a reader may rely on at every instant, whoever publishes and wherever a publisher dies:

1. ``index.sjson`` verifies, and so does every file that it names.  Files are content-addressed and written first, then read
   back and checked as a reader would; the index is swapped last, in one conditional write.
2. Generations only grow.  The number is taken after the index that is to be replaced was read, and the swap holds only for
   that index.
3. Nothing is lost between two publishers.  The table is read after the index: who loses the swap starts over with both.

``index.json`` and the files under fixed names follow ``index.sjson``.  They can be behind it for a moment, never ahead, and
never go back: each carries its generation and is replaced only by a higher one.  ``index.json.gpg`` is the last of them, so
that its generation tells the next run whether somebody died before the end.

Files under ``by-hash`` are kept for a while: a reader may hold an index of a minute ago.  The bucket's lifecycle removes them
long after :data:`VALIDITY`, when no index can name them any more.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chalicelib import aws
from chalicelib.errors import CloudBusy, CloudError, SetupWrong
from chalicelib.index.table import Index
from chalicelib.openpgp import Signer
from chalicelib.streams import check
from chalicelib.streams.check import FileRefused
from chalicelib.streams.model import EPOCH, INDEX_JSON, INDEX_SJSON, ROOT, Content, Entry, Stamp, StreamsIndex, iso, stream_of
from chalicelib.streams.render import contents

#: How long a file is good after it was signed.  It is signed anew when half of that is gone, so that publishing may stand
#: still for a week before a strict reader notices.
VALIDITY = timedelta(days=14)

#: Lost swaps in a row after which a publisher leaves it to the next event.
TRIES = 8

#: Never changed once they are there.
FOREVER = "public, max-age=31536000, immutable"
#: To be asked for each time; the answer is 304 as long as nothing changed.
ASK = "no-cache"

CONTENT_TYPES = {"json": "application/json", "json.gpg": "application/pgp-signature", "sjson": "text/plain; charset=utf-8"}

_log = logging.getLogger(__name__)

Entries = dict[str, Entry]


@dataclass(frozen=True)
class Published:
    """What a run came to: the generation of ``index.sjson`` (0 if there is none) and the keys it wrote, in order."""

    generation: int
    written: list[str]


def publish(
    bucket: str, index: Index, s3: aws.Client, signer: Signer, *, changed: set[str] | None, now: datetime
) -> Published:
    """Bring the public files in ``bucket`` up to the index.

    Args:
        signer: entered; its key signs the files and checks those that are there.
        changed: the streams that may have changed, None for all.
        now: an aware time; files expire :data:`VALIDITY` after it.

    Raises:
        CloudBusy: S3 or DynamoDB is not to be reached, or other publishers were faster again and again.
        CloudRefused: from S3 or DynamoDB.
        SetupWrong: the index's counter of generations was set back, or the bucket answers with other bytes than were written.
    """
    return Publisher(bucket, index, s3, signer, now).run(changed)


class _LostSwap(Exception):
    """Another publisher was faster."""


@dataclass
class _Current:
    """The index that is there: its ETag (None if there is no file) and, if it verifies with our key, what it says."""

    etag: str | None
    index: StreamsIndex | None

    @property
    def entries(self) -> Entries:
        return self.index.index if self.index else {}

    @property
    def generation(self) -> int:
        return self.index.generation if self.index else 0


@dataclass
class Publisher:
    """One run; the arguments are those of :func:`publish`."""

    bucket: str
    index: Index
    s3: aws.Client
    signer: Signer
    now: datetime
    sleep: Callable[[float], None] = time.sleep
    written: list[str] = field(default_factory=list)

    def run(self, changed: set[str] | None) -> Published:
        for number in range(TRIES):
            if number:
                self.sleep(random.uniform(0, 0.1 * 2**number))  # noqa: S311 - spreads publishers out, keeps no secret
            try:
                current = self._swap_in(self._read_current(), changed)
            except _LostSwap:
                continue
            if current is not None:
                self._bring_followers_up(current)
            return Published(current.generation if current else 0, self.written)
        raise CloudBusy(f"Other publishers replaced {INDEX_SJSON} {TRIES} times in a row.", code="Contended")

    def _read_current(self) -> _Current:
        """The index that is there.  One that does not verify is replaced, and nothing of it is carried over."""
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=INDEX_SJSON)
        except CloudError as error:
            if _is_missing(error):
                return _Current(None, None)
            raise
        try:  # one that has expired, because nobody published for long, is still ours
            found = check.signed_index(aws.body(answer), self.signer.public_key)
        except FileRefused as error:
            _log.warning("%s is replaced with everything rendered anew: %s", INDEX_SJSON, error)
            return _Current(answer["ETag"], None)
        return _Current(answer["ETag"], found)

    def _swap_in(self, current: _Current, changed: set[str] | None) -> StreamsIndex | None:
        """Replace the index if there is anything new; return the one that stands then."""
        streams = self.index.streams() if changed is None or current.index is None else changed
        carried = {} if changed is None else _of_other_streams(current.entries, streams)
        rendered = [content for stream in sorted(streams) for content in contents(*self.index.stream(stream))]
        unchanged = {content.content_id: e for content in rendered if (e := self._unchanged(content, current.entries))}
        entries = carried | unchanged
        new = [content for content in rendered if content.content_id not in entries]
        if current.etag is None and not new:
            return None
        if current.index is not None and not new and entries == current.entries and self._is_fresh(current.index.expires):
            return current.index
        stamp = self._next_stamp(current.generation)
        for content in new:
            entries[content.content_id] = self._write_content(content, stamp)
        wanted = StreamsIndex.of(entries, stamp, current.index.updated if current.index else EPOCH)
        self._swap(wanted, current.etag)
        return wanted

    def _unchanged(self, content: Content, entries: Entries) -> Entry | None:
        """The entry of the file that is there, if that is good for long enough and rendering it again would make its bytes."""
        there = entries.get(content.content_id)
        if there is None or not self._is_fresh(there.expires) or content.entry(there.stamp) != there:
            return None
        complete = all(self._look(f"{there.stem}.{suffix}")[1] for suffix in CONTENT_TYPES)
        return there if complete else None  # somebody removed a file: a new one takes its place

    def _is_fresh(self, expires: str) -> bool:
        return datetime.fromisoformat(expires) - self.now > VALIDITY / 2

    def _next_stamp(self, generation: int) -> Stamp:
        number = self.index.next_generation()
        if number <= generation:
            raise SetupWrong(
                f"The table {self.index.table} handed out generation {number}, but {INDEX_SJSON} has {generation}: "
                f"set the attribute 'generation' of its item with pk #streams and sk #generation to {generation}."
            )
        return Stamp(number, iso(self.now + VALIDITY))

    def _write_content(self, content: Content, stamp: Stamp) -> Entry:
        """Write a products file in its three forms under its hash, and read it back."""
        entry, text = content.entry(stamp), content.text(stamp)
        forms = {"json": text, "json.gpg": self.signer.detach(text), "sjson": self.signer.clearsign(text)}
        for suffix, body in forms.items():
            self._put(f"{entry.stem}.{suffix}", body, CacheControl=FOREVER)
        self._read_back(content.content_id, entry)
        return entry

    def _read_back(self, content_id: str, entry: Entry) -> None:
        keyring = self.signer.public_key
        try:
            check.products(self._get(f"{entry.stem}.sjson"), keyring, content_id, entry, now=self.now)
            plain, signature = self._get(f"{entry.stem}.json"), self._get(f"{entry.stem}.json.gpg")
            check.detached_products(plain, signature, keyring, content_id, entry, now=self.now)
        except FileRefused as error:
            raise SetupWrong(f"What was written to the bucket {self.bucket} does not come back as it was: {error}") from error

    def _swap(self, wanted: StreamsIndex, etag: str | None) -> None:
        signed = self.signer.clearsign(wanted.text("sjson"))
        check.index(signed, self.signer.public_key, now=self.now)
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self._put(INDEX_SJSON, signed, CacheControl=ASK, Metadata=_marked(wanted.generation), **condition)
        except CloudError as error:
            if _is_lost(error):
                raise _LostSwap from error
            raise

    # Files that follow the index

    def _bring_followers_up(self, index: StreamsIndex) -> None:
        """Copy the products files to their fixed names and write the plain index, wherever they are behind."""
        last = f"{INDEX_JSON}.gpg"
        if self._look(last)[0] >= index.generation:
            return
        for content_id, entry in sorted(index.index.items()):
            stem = f"{ROOT}/{content_id}"
            if self._look(f"{stem}.json.gpg")[0] >= entry.generation:
                continue
            # Readers fetch the JSON before its signature: in this order they meet a pair of two generations least.
            for suffix in ("sjson", "json", "json.gpg"):
                self._follow(f"{stem}.{suffix}", entry.generation, self._get(f"{entry.stem}.{suffix}"))
        text = index.text("json")
        self._follow(INDEX_JSON, index.generation, text)
        self._follow(last, index.generation, self.signer.detach(text))

    def _follow(self, key: str, generation: int, body: bytes) -> None:
        """Write ``key`` unless it has that generation or a higher one."""
        for _ in range(TRIES):
            there, etag = self._look(key)
            if there >= generation:
                return
            condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
            try:
                self._put(key, body, CacheControl=ASK, Metadata=_marked(generation), **condition)
            except CloudError as error:
                if not _is_lost(error):
                    raise
            else:
                return
        raise CloudBusy(f"Other publishers replaced {key} {TRIES} times in a row.", code="Contended")

    def _look(self, key: str) -> tuple[int, str | None]:
        """The generation that a file was written with (0 if it is not ours) and its ETag (None if it is not there)."""
        try:
            there = self.s3.head_object(Bucket=self.bucket, Key=key)
        except CloudError as error:
            if _is_missing(error):
                return 0, None
            raise
        mark = there.get("Metadata", {}).get("generation", "0")
        return int(mark) if mark.isdecimal() else 0, there["ETag"]

    # S3

    def _get(self, key: str) -> bytes:
        return aws.body(self.s3.get_object(Bucket=self.bucket, Key=key))

    def _put(self, key: str, body: bytes, **attributes: Any) -> None:
        suffix = next(suffix for suffix in CONTENT_TYPES if key.endswith(f".{suffix}"))
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=CONTENT_TYPES[suffix], **attributes)
        self.written.append(key)


def _of_other_streams(entries: Entries, streams: Collection[str]) -> Entries:
    return {content_id: entry for content_id, entry in entries.items() if stream_of(content_id) not in streams}


def _marked(generation: int) -> dict[str, str]:
    """The metadata by which a file tells its generation without being read."""
    return {"generation": str(generation)}


def _is_missing(error: CloudError) -> bool:
    return error.code in ("NoSuchKey", "404")  # HEAD has no body, so that its code is the status


def _is_lost(error: CloudError) -> bool:
    """A conditional write came too late (412, or 404 where the file was removed meanwhile), or met another one (409)."""
    return error.code in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")
