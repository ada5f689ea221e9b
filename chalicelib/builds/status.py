"""``build.status.json``, beside the manifest: where its uploader looks for what became of it.

::

    {"build": "com.example.cloud:server:24.04:amd64/daily/20261120", "state": "public", "reason": "",
     "manifest_version": "<S3 version id>", "time": "2026-11-20T09:12:31Z",
     "regions": {"us-east-1": {"state": "public", "image_id": "ami-...", "reason": ""}}}

``state`` is an upload's (waiting, refused) until the build is recorded, then the build's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chalicelib import aws
from chalicelib.errors import CloudRefused
from chalicelib.index.records import BuildRecord, Publication, Upload
from chalicelib.names import STATUS_NAME


def status_key(manifest_key: str) -> str:
    """The status file's key: in the manifest's own folder."""
    folder, slash, _ = manifest_key.rpartition("/")
    return f"{folder}{slash}{STATUS_NAME}"


def of_upload(upload: Upload) -> dict[str, Any]:
    """The status of a manifest that has not become a build."""
    return {
        "build": upload.build,
        "state": str(upload.state),
        "reason": upload.reason,
        "manifest_version": upload.version_id,
        "time": upload.updated,
        "regions": {},
    }


def of_build(record: BuildRecord, publications: Iterable[Publication]) -> dict[str, Any]:
    """The status of a build with a line for each of its Regions, in alphabetical order."""
    return {
        "build": str(record.id),
        "state": str(record.state),
        "reason": record.reason,
        "manifest_version": record.manifest_version,
        "time": record.updated,
        "regions": {
            each.region: {"state": str(each.state), "image_id": each.image_id, "reason": each.reason}
            for each in sorted(publications, key=lambda each: each.region)
        },
    }


def write_upload_status(s3: aws.Client, bucket: str, upload: Upload) -> None:
    """Tell the uploader of a manifest that waits or is refused."""
    _write(s3, bucket, status_key(upload.key), of_upload(upload))


def write_status(s3: aws.Client, bucket: str, record: BuildRecord, publications: Iterable[Publication]) -> None:
    """Tell the uploader how the build stands.  What says so already, or is newer, stays as it is."""
    _write(s3, bucket, status_key(record.manifest_key), of_build(record, publications))


def _write(s3: aws.Client, bucket: str, key: str, status: dict[str, Any]) -> None:
    there = _read(s3, bucket, key)
    same_upload = there.get("manifest_version") == status["manifest_version"]
    if {**there, "time": ""} == {**status, "time": ""} or (same_upload and str(there.get("time")) > status["time"]):
        return
    body = json.dumps(status, indent=2).encode() + b"\n"
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def _read(s3: aws.Client, bucket: str, key: str) -> dict[str, Any]:
    """What the file says now; empty if it is not there or not ours."""
    try:
        status = json.loads(aws.body(s3.get_object(Bucket=bucket, Key=key)))
    except CloudRefused as error:
        if error.code in ("NoSuchKey", "AccessDenied"):  # the latter for what is missing, to a role that may not list
            return {}
        raise
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
