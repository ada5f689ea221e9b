"""Uploading: in parts, resumed where it stopped, and the manifest last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broadside.cli.common import client
from broadside.upload import Draft, Transfer
from chalicelib import aws
from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, FileMismatch
from chalicelib.names import MANIFEST_NAME
from tests.cli.conftest import Deployed

PART = 5 * 1024 * 1024
CONTENT = bytes(range(256)) * (PART // 256 * 3) + b"the rest"


class Calls(list[str]):
    """The calls that change something, in order; ``broken`` stops the n-th UploadPart."""

    broken = 0

    def note(self, model: Any, **_: Any) -> None:
        if model.name == "UploadPart" and self.broken and self.count("UploadPart") + 1 == self.broken:
            raise CloudBusy("interrupted")
        if not model.name.startswith(("Head", "List")):
            self.append(model.name)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def transfer(site: Deployed, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Transfer:
    s3: aws.Client = client(site.session, "s3")
    s3.raw.meta.events.register("before-call.s3", calls.note)
    monkeypatch.setattr("broadside.upload.transfer.CONNECTIONS", 1)  # so that it is known which part is the n-th
    return Transfer(s3, site.stack.builds_bucket, part=PART)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "large.img"
    path.write_bytes(CONTENT)
    return {path.name: path}


@pytest.fixture
def manifest(paths: dict[str, Path]) -> Manifest:
    return Draft.of(paths["large.img"], product="com.example.cloud:server:24.04:amd64", serial="20261120").manifest()


def stored(transfer: Transfer, manifest: Manifest, name: str) -> bytes:
    key = f"{manifest.id.folder}/{name}"
    return bytes(transfer.s3.get_object(Bucket=transfer.bucket, Key=key)["Body"].read())


def test_files_come_first_and_the_manifest_last(
    transfer: Transfer, manifest: Manifest, paths: dict[str, Path], calls: Calls
) -> None:
    """Its arrival is what starts the publication."""
    done: list[int] = []
    receipt = transfer.build(manifest, paths, b"signed", lambda _, count: done.append(count))
    assert calls == ["CreateMultipartUpload", *["UploadPart"] * 4, "CompleteMultipartUpload", "PutObject"]
    assert stored(transfer, manifest, "large.img") == CONTENT
    assert stored(transfer, manifest, MANIFEST_NAME) == b"signed"
    assert (receipt.uploaded, receipt.skipped) == (("large.img",), ())
    assert receipt.version_id
    assert sum(done) == len(CONTENT)


def test_a_small_file_is_one_request(transfer: Transfer, image: Path, calls: Calls) -> None:
    """Parts have at least 5 MiB."""
    manifest = Draft.of(image, product="com.example.cloud:server:24.04:amd64").manifest()
    transfer.build(manifest, {"disk.img": image}, b"signed")
    assert calls == ["PutObject", "PutObject"]


def test_what_is_there_is_not_uploaded_again(
    transfer: Transfer, manifest: Manifest, paths: dict[str, Path], calls: Calls
) -> None:
    """With its size and SHA-256; the progress counts it all the same."""
    transfer.build(manifest, paths, b"signed")
    calls.clear()
    done: list[int] = []
    receipt = transfer.build(manifest, paths, b"signed", lambda _, count: done.append(count))
    assert calls == ["PutObject"]
    assert (receipt.uploaded, receipt.skipped) == ((), ("large.img",))
    assert sum(done) == len(CONTENT)


def test_an_interrupted_upload_goes_on_where_it_stopped(
    transfer: Transfer, manifest: Manifest, paths: dict[str, Path], calls: Calls
) -> None:
    """The manifest was not uploaded, and the parts that are there are not sent again."""
    calls.broken = 3
    with pytest.raises(CloudBusy, match="interrupted"):
        transfer.build(manifest, paths, b"signed")
    assert calls == ["CreateMultipartUpload", "UploadPart", "UploadPart"]
    calls.broken = 0
    calls.clear()
    transfer.build(manifest, paths, b"signed")
    assert calls == ["UploadPart", "UploadPart", "CompleteMultipartUpload", "PutObject"]
    assert stored(transfer, manifest, "large.img") == CONTENT


@pytest.mark.parametrize("changed_at", [0, len(CONTENT) - 1], ids=["at the beginning", "at the end"])
def test_another_file_s_upload_is_not_gone_on_with(
    transfer: Transfer, manifest: Manifest, paths: dict[str, Path], calls: Calls, changed_at: int
) -> None:
    """Not even if only its last byte differs, which the parts that are there do not show."""
    calls.broken = 3
    with pytest.raises(CloudBusy):
        transfer.build(manifest, paths, b"signed")
    calls.broken = 0
    content = bytearray(CONTENT)
    content[changed_at] ^= 1
    paths["large.img"].write_bytes(content)
    other = Draft.of(paths["large.img"], product=manifest.product, serial=manifest.serial).manifest()
    transfer.build(other, paths, b"signed")
    assert stored(transfer, other, "large.img") == content
    head = transfer.s3.head_object(Bucket=transfer.bucket, Key=f"{other.id.folder}/large.img")
    assert head["Metadata"] == {"sha256": other.files[0].sha256}


def test_a_file_that_changed_since_it_was_hashed_is_not_uploaded(
    transfer: Transfer, manifest: Manifest, paths: dict[str, Path], calls: Calls
) -> None:
    """At least if it shows in its size; the rest shows after the upload."""
    paths["large.img"].write_bytes(CONTENT + b"!")
    with pytest.raises(FileMismatch, match="has changed since it was hashed"):
        transfer.build(manifest, paths, b"signed")
    assert calls == []
