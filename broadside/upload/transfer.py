"""Uploading a build: files in parallel parts, resumed where they stopped, the manifest last."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broadside.upload.draft import Progress, silent
from chalicelib import aws
from chalicelib.builds.manifest import File, Manifest
from chalicelib.errors import CloudRefused, FileMismatch, SerialTaken
from chalicelib.index.records import BuildRecord, BuildState
from chalicelib.index.table import Index
from chalicelib.names import MANIFEST_NAME

#: Bytes of one part: S3 takes 5 MiB to 5 GiB, and 10,000 parts, which is 156 GiB.
PART = 16 * 1024 * 1024

#: Parts on their way at once; each is in memory meanwhile.
CONNECTIONS = 8


@dataclass(frozen=True)
class Receipt:
    """What was uploaded.  ``version_id`` is the manifest object's, ``skipped`` names the files that were there already."""

    key: str
    version_id: str
    uploaded: tuple[str, ...]
    skipped: tuple[str, ...]


def published(index: Index, manifest: Manifest) -> BuildRecord | None:
    """The build, if it is recorded with this very content; None if the serial is free.

    Raises:
        SerialTaken: it is recorded with different content.
    """
    record = index.build(manifest.id)
    if record is None or record.state is BuildState.REFUSED:
        return None
    if record.manifest != manifest.model_dump(mode="json"):
        raise SerialTaken(f"{manifest.id} was recorded on {record.created} with different content: choose another --serial.")
    return record


@dataclass(frozen=True)
class Transfer:
    """Uploads into ``bucket``; ``s3`` is a client with at least :data:`CONNECTIONS` connections."""

    s3: aws.Client
    bucket: str
    part: int = PART

    def build(self, manifest: Manifest, paths: Mapping[str, Path], signed: bytes, progress: Progress = silent) -> Receipt:
        """Upload every file that is not there yet, then the signed manifest.

        Args:
            manifest: says which files, and their folder.
            paths: where they lie here, by their path in the manifest.
            signed: the manifest, clearsigned.
            progress: told of the bytes that are done, also those that were there before.

        Raises:
            FileMismatch: a file has changed since it was hashed.
            CloudBusy, CloudRefused: from S3.  Another call goes on where this one stopped.
        """
        folder = manifest.id.folder
        uploaded = [
            file.path for file in manifest.files if self._file(f"{folder}/{file.path}", file, paths[file.path], progress)
        ]
        key = f"{folder}/{MANIFEST_NAME}"
        put = self.s3.put_object(Bucket=self.bucket, Key=key, Body=signed, ContentType="text/plain; charset=utf-8")
        skipped = tuple(file.path for file in manifest.files if file.path not in uploaded)
        return Receipt(key, str(put.get("VersionId", "")), tuple(uploaded), skipped)

    def _file(self, key: str, file: File, path: Path, progress: Progress) -> bool:
        """Upload one file; False if it is there already."""
        if path.stat().st_size != file.size:
            raise FileMismatch(f"{path} has changed since it was hashed: run the command again when nothing writes to it.")
        if self._is_there(key, file):
            progress(file.path, file.size)
            return False
        if file.size <= self.part:
            body = path.read_bytes()
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentMD5=_md5(body), Metadata={"sha256": file.sha256})
            progress(file.path, file.size)
            return True
        self._in_parts(key, file, path, self._unfinished(key, path), progress)
        if not self._is_there(key, file):  # the unfinished upload began as another file's, with the same first parts
            self._in_parts(key, file, path, None, silent)
        return True

    def _is_there(self, key: str, file: File) -> bool:
        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=key)
        except CloudRefused as error:
            if error.code in ("404", "NoSuchKey"):
                return False
            raise
        return bool(head["ContentLength"] == file.size and head.get("Metadata", {}).get("sha256") == file.sha256)

    def _in_parts(self, key: str, file: File, path: Path, unfinished: _Unfinished | None, progress: Progress) -> None:
        if unfinished is None:
            made = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, Metadata={"sha256": file.sha256})
            unfinished = _Unfinished(str(made["UploadId"]), {})
        target = {"Bucket": self.bucket, "Key": key, "UploadId": unfinished.upload_id}

        def send(number: int) -> str:
            body = self._read(path, number)
            etag = unfinished.parts.get(number)
            if etag is None:
                etag = str(self.s3.upload_part(**target, PartNumber=number, Body=body, ContentMD5=_md5(body))["ETag"])
            progress(file.path, len(body))
            return etag

        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            sent = [pool.submit(send, number) for number in range(1, -(-file.size // self.part) + 1)]
            wait(sent, return_when=FIRST_EXCEPTION)
            for future in sent:
                if future.done() and future.exception() is not None:
                    future.result()
            parts = [{"PartNumber": number, "ETag": future.result()} for number, future in enumerate(sent, 1)]
        finally:
            pool.shutdown(cancel_futures=True)
        self.s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    def _unfinished(self, key: str, path: Path) -> _Unfinished | None:
        """An upload of this file that was interrupted: every part that it has is a part of the file."""
        try:
            uploads = list(self.s3.pages("list_multipart_uploads", "Uploads", Bucket=self.bucket, Prefix=key))
        except CloudRefused as error:
            if error.code == "AccessDenied":
                return None  # whoever may not look begins anew
            raise
        for upload in uploads:
            if upload["Key"] != key:
                continue
            target: dict[str, Any] = {"Bucket": self.bucket, "Key": key, "UploadId": upload["UploadId"]}
            parts = {int(part["PartNumber"]): str(part["ETag"]) for part in self.s3.pages("list_parts", "Parts", **target)}
            if parts and all(self._is_part(path, number, etag) for number, etag in parts.items()):
                return _Unfinished(str(upload["UploadId"]), parts)
        return None

    def _is_part(self, path: Path, number: int, etag: str) -> bool:
        """A part's ETag is its MD5 (but for KMS encryption, with which nothing is resumed)."""
        return hashlib.md5(self._read(path, number), usedforsecurity=False).hexdigest() == etag.strip('"')

    def _read(self, path: Path, number: int) -> bytes:
        with path.open("rb") as file:
            file.seek((number - 1) * self.part)
            return file.read(self.part)


@dataclass(frozen=True)
class _Unfinished:
    """A multipart upload and the ETags of the parts that it has, by number."""

    upload_id: str
    parts: Mapping[int, str]


def _md5(body: bytes) -> str:
    """For S3 to check what arrives."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")
