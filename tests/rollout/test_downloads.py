"""Promises about the files that everybody may download."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from moto import mock_aws

from chalicelib import aws
from chalicelib.index.records import BuildRecord, PinnedFile
from chalicelib.rollout import downloads
from tests.examples import manifest
from tests.index.values import BUILD, moto_client, record

MIB = 1024**2
CONTENT = bytes(range(256)) * (12 * MIB // 256) + b"the end"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[aws.Client]:
    """A versioned bucket of builds and a public one."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = moto_client("s3")
        for bucket in ("builds", "public"):
            client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket="builds", VersioningConfiguration={"Status": "Enabled"})
        yield client


def uploaded(s3: aws.Client) -> BuildRecord:
    version = s3.put_object(Bucket="builds", Key="x/disk.img", Body=CONTENT)["VersionId"]
    pinned = PinnedFile("disk.img", "x/disk.img", version, len(CONTENT))
    return dataclasses.replace(record(manifest=manifest(CONTENT)), files=(pinned,))


@pytest.mark.parametrize("part", [5 * MIB, 512 * MIB])
def test_the_pinned_version_is_copied_whole(s3: aws.Client, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """In one request or in parts, whatever was uploaded over it since."""
    monkeypatch.setattr(downloads, "PART", part)
    build = uploaded(s3)
    s3.put_object(Bucket="builds", Key="x/disk.img", Body=b"something else")
    path = downloads.expose(s3, build, "disk.img", "builds", "public")
    assert path == BUILD.public_path("disk.img")
    assert s3.get_object(Bucket="public", Key=path)["Body"].read() == CONTENT
    assert downloads.is_exposed(s3, "public", path, manifest(CONTENT)["files"][0]["sha256"])
