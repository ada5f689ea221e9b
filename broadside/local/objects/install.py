"""Lets moto's S3 keep its objects in a heap, and corrects where it is laxer or slower than S3."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from typing import Any

from moto.s3.exceptions import (
    BadRequest,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    InvalidTagError,
    MalformedXML,
    MissingKey,
    PreconditionFailed,
)
from moto.s3.models import FakeKey, FakeMultipart, S3Backend
from moto.s3.responses import S3Response
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from broadside.local.objects import checksums
from broadside.local.objects.heap import Content, Heap
from broadside.local.patching import replace

#: Objects up to this size are given as bytes, which every part of moto understands; larger ones as :class:`Content`.
SMALL = 1 << 20

#: Tags of an object (PutObjectTagging, S3 API reference).
MAX_TAGS = 10

Checksum = tuple[str, str, int]


def install(heap: Heap) -> None:
    """Take the place of moto's buffers in memory."""

    def get_value(self: Any) -> bytes | Content:
        content: Content = self._content
        return content[:] if len(content) <= SMALL else content

    def set_value(self: Any, new_value: str | bytes | Content) -> None:
        content = new_value.encode() if isinstance(new_value, str) else new_value
        if not isinstance(content, Content):
            if self._etag is None:
                self._etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
            content = heap.store(bytes(content))
        elif self._etag is None:
            self._etag = content.md5()
        self._content = content
        self.contentsize = len(content)

    def complete(self: Any, body: Iterable[tuple[int, str]]) -> tuple[Content, str, Checksum | None]:
        parts = _chosen(self, body)
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        return Content.join(heap, [part._content for part in parts]), etag, checksums.composite(self, parts)

    def upload_part_copy(  # noqa: PLR0917 - the signature is moto's
        self: Any,
        dest_bucket_name: str,
        multipart_id: str,
        part_id: int,
        src_bucket_name: str,
        src_key_name: str,
        src_version_id: str | None,
        start_byte: int | None,
        end_byte: int | None,
    ) -> Any:
        multipart = self.get_bucket(dest_bucket_name).multiparts[multipart_id]
        content: Content = self.get_object(src_bucket_name, src_key_name, version_id=src_version_id)._content
        if start_byte is not None and end_byte is not None:
            content = content.part(start_byte, end_byte + 1)
        return multipart.set_part(part_id, content)

    def put_object_tagging(self: Any, key: Any, tags: dict[str, str] | None) -> Any:
        """moto takes every key that begins with "aws" for one of AWS's own, which begin with "aws:"."""
        wanted = self.tagger.convert_dict_to_tags_input(tags)
        if len(wanted) > MAX_TAGS:
            raise BadRequest(f"Object tags cannot be greater than {MAX_TAGS}")
        if fault := self.tagger.validate_tags(wanted):
            raise InvalidTagError(fault)
        self.tagger.delete_all_tags_for_resource(key.arn)
        self.tagger.tag_resource(key.arn, wanted)
        return key

    copy_object = S3Backend.copy_object

    def copy_object_with_its_own_checksum(self: Any, src_key: Any, bucket: str, key: str, **options: Any) -> None:
        """A composite checksum is one of parts, which the copy does not have."""
        copy_object(self, src_key, bucket, key, **options)
        copied = self.get_object(bucket, key)
        if src_key.checksum_type == "COMPOSITE":
            copied.checksum_algorithm = copied.checksum_value = None

    take_turns()
    checksums.install()
    replace(S3Backend, copy_object=copy_object_with_its_own_checksum)
    replace(FakeKey, value=property(get_value, set_value), __del__=lambda _self: None)
    replace(FakeMultipart, complete=complete)
    replace(S3Backend, upload_part_copy=upload_part_copy, put_object_tagging=put_object_tagging)


def take_turns() -> None:
    """Let a write look at the object that is there and replace it in one step, and honour If-Match on every kind of write."""
    turns = [threading.RLock() for _ in range(64)]
    put, post, delete = S3Response._key_response_put, S3Response._key_response_post, S3Response._key_response_delete

    def turn(bucket: str, key: str) -> threading.RLock:
        return turns[hash((bucket, key)) % len(turns)]

    def key_response_put(self: Any, query: Any, key_name: str) -> Any:
        with turn(self.bucket_name, key_name):
            if "x-amz-copy-source" in self.headers and "uploadId" not in query:
                _check_conditions(self, key_name)
            return put(self, query, key_name)

    def key_response_post(self: Any, request: Any, body: bytes, *where: Any) -> Any:
        bucket_name, query, key_name = where
        with turn(bucket_name, key_name):
            if "uploadId" in query and not _completed_already(self, key_name, query["uploadId"][0]):
                _check_conditions(self, key_name)
            return post(self, request, body, *where)

    def key_response_delete(self: Any, bucket_name: str, query: Any, key_name: str) -> Any:
        with turn(bucket_name, key_name):
            return delete(self, bucket_name, query, key_name)

    replace(
        S3Response,
        _key_response_put=key_response_put,
        _key_response_post=key_response_post,
        _key_response_delete=key_response_delete,
    )


def _check_conditions(response: Any, key_name: str) -> None:
    """Source: "Adding preconditions to S3 operations" in the S3 user guide."""
    found = response.backend.get_object(response.bucket_name, key_name)
    wanted = response.headers.get("If-Match")
    if wanted and found is None:
        raise MissingKey(key=key_name)
    if wanted and wanted.strip('"') != found.etag.strip('"'):
        raise PreconditionFailed("If-Match")
    if response.headers.get("If-None-Match") == "*" and found is not None:
        raise PreconditionFailed("If-None-Match")


def _completed_already(response: Any, key_name: str, upload: str) -> bool:
    found = response.backend.get_object(response.bucket_name, key_name)
    return found is not None and found.multipart is not None and bool(found.multipart.id == upload)


def _chosen(multipart: Any, body: Iterable[tuple[int, str]]) -> list[Any]:
    """The parts that the request lists, checked as CompleteMultipartUpload does."""
    chosen: list[Any] = []
    before = 0
    for number, etag in body:
        part = multipart.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise InvalidPart()
        if number <= before:
            raise InvalidPartOrder()
        if chosen and chosen[-1].contentsize < S3_UPLOAD_PART_MIN_SIZE:
            raise EntityTooSmall()
        chosen.append(part)
        before = number
    if not chosen:
        raise MalformedXML()
    return chosen
