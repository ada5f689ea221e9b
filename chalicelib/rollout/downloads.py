"""Copying a build's files to where the download stream names them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib import aws
from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.index.records import BuildRecord

#: S3 would copy up to 5 GiB in one request (CopyObject, S3 API reference), but answers only at its end: larger objects go in
#: parts that take seconds each, several at once, so that neither the read time-out nor the function's is near.
PART = 512 * 1024**2
AT_ONCE = 8

#: Nothing that the builder put on the object comes along: neither metadata nor tags.
_REPLACED = {"MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}

#: The files never change under their name: any cache may keep them.
CACHE_CONTROL = "public, max-age=31536000, immutable"


def expose(s3: aws.Client, record: BuildRecord, name: str, builds_bucket: str, public_bucket: str) -> str:
    """Copy the pinned version of one file into the public bucket, unless it is there.

    Returns:
        its path under the public root.

    Raises:
        CloudBusy, CloudRefused: from S3.
    """
    pinned = next(file for file in record.files if file.path == name)
    sha256 = Manifest.model_validate(record.manifest).file(name).sha256
    path = record.id.public_path(name)
    if not is_exposed(s3, public_bucket, path, sha256):
        source = {"Bucket": builds_bucket, "Key": pinned.key, "VersionId": pinned.version_id}
        attributes = {
            "Metadata": {"sha256": sha256},
            "CacheControl": CACHE_CONTROL,
            "ContentType": "application/octet-stream",
        }
        if pinned.size <= PART:
            s3.copy_object(Bucket=public_bucket, Key=path, CopySource=source, **_REPLACED, **attributes)
        else:
            _copy_in_parts(s3, source, pinned.size, {"Bucket": public_bucket, "Key": path}, attributes)
    return path


def all_exposed(s3: aws.Client, bucket: str, record: BuildRecord) -> bool:
    """Whether every file of the build is there."""
    manifest = Manifest.model_validate(record.manifest)
    return all(is_exposed(s3, bucket, record.id.public_path(file.path), file.sha256) for file in manifest.files)


def is_exposed(s3: aws.Client, bucket: str, path: str, sha256: str) -> bool:
    """Whether the file is there with the content that was verified."""
    try:
        there = s3.head_object(Bucket=bucket, Key=path)
    except (CloudBusy, CloudRefused) as error:
        if error.code in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return bool(there.get("Metadata", {}).get("sha256") == sha256)


def _copy_in_parts(
    s3: aws.Client, source: dict[str, str], size: int, target: dict[str, str], attributes: dict[str, Any]
) -> None:
    upload = s3.create_multipart_upload(**target, **attributes)["UploadId"]

    def copy(start: int) -> dict[str, Any]:
        number, end = start // PART + 1, min(start + PART, size) - 1
        copied = s3.upload_part_copy(
            **target, UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={start}-{end}"
        )
        return {"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]}

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            parts = list(pool.map(copy, range(0, size, PART)))
        s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    except Exception:
        s3.abort_multipart_upload(**target, UploadId=upload)
        raise
