"""Whatever format an image comes in, the same disk is published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from chalicelib.names import BuildId
from chalicelib.snapshots.blocks import BLOCK_SIZE, block_count
from tests.disks.images import KINDS, MIB, TOOLS, content, convert, make, pack
from tests.e2e.site import Site
from tests.keys import Key

HOME = "us-east-1"
QUIET: dict[str, Any] = {"home": HOME, "time_scale": 100, "regions": [{"name": HOME}]}
DISK = content(5 * MIB + 512)


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key) -> Iterator[Site]:
    """A small deployment."""
    with LocalCloud(QUIET) as cloud:
        yield Site(cloud, builder, signer)


def upload(site: Site, image: bytes, format_: str, **changes: Any) -> BuildId:
    return site.upload(image, ec2__format=format_, **changes)


def assert_published(site: Site, build: BuildId) -> None:
    """The snapshot holds the disk, padded with zeros to whole blocks."""
    site.wait_for(build, BuildState.PUBLIC)
    blocks = block_count(len(DISK))
    snapshot_id = site.regions(build)[HOME].snapshot_id
    assert site.read_snapshot(HOME, snapshot_id, blocks) == DISK.ljust(blocks * BLOCK_SIZE, b"\0")


@pytest.mark.parametrize(
    "kind", ["qcow2", "qcow2-zlib", "qcow2-zstd", "vmdk", "vmdk-stream", "vhd-fixed", "vhd-dynamic", "vhdx"]
)
def test_an_image_with_tables_is_published_as_the_disk_in_it(site: Site, tmp_path: Path, kind: str) -> None:
    """Made by qemu-img of one and the same disk."""
    image, format_ = make(tmp_path, DISK, kind)
    assert KINDS[kind][0] == format_
    assert_published(site, upload(site, image.read_bytes(), format_))


@pytest.mark.parametrize("tool", ["gzip", "xz", "zstd"])
def test_a_packed_disk_is_published_unpacked(site: Site, tmp_path: Path, tool: str) -> None:
    """And what readers download is the file that was uploaded."""
    packed = pack(tmp_path, DISK, tool)
    build = upload(site, packed, TOOLS[tool][0])
    assert_published(site, build)
    site.until(lambda: getattr(site.record(build), "downloads_at", ""), "the downloads")
    public = site.s3.get_object(Bucket=site.stack.public_bucket, Key=build.public_path("disk.img"))["Body"].read()
    assert public == packed


def test_an_image_that_cannot_be_published_costs_nothing(site: Site, tmp_path: Path) -> None:
    """One sentence for each fault, and no call to EC2 or EBS."""
    image, _ = make(tmp_path, DISK, "qcow2")
    whole = image.read_bytes()
    overlay = tmp_path / "overlay.qcow2"
    convert(tmp_path / "disk.raw", overlay, "-B", str(image), "-F", "qcow2", target_format="qcow2")
    before = site.last_call()
    for data, format_, changes, words in [
        (whole, "raw", {}, "begins or ends as qcow2 does"),
        (whole, "vmdk", {}, "begins as qcow2 does"),
        (whole[: len(whole) // 2], "qcow2", {}, "cut off or damaged"),
        (overlay.read_bytes(), "qcow2", {}, "has a backing file"),
        (pack(tmp_path, bytes(1025 * MIB), "gzip"), "raw.gz", {"ec2__root_volume_size": 1}, "larger than it may be"),
        (pack(tmp_path, DISK, "xz") + b"junk" * 5, "raw.xz", {}, "not something behind its end"),
    ]:
        assert words in site.wait_refused(upload(site, data, format_, **changes), timeout=60)
    assert [call for call in site.calls_since(before) if call["service"] in ("ec2", "ebs")] == []
