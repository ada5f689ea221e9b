"""ImportSnapshot: a disk image in S3 becomes a snapshot."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from broadside.local.cloud import LocalCloud
from broadside.local.ebs.blocks import BLOCK_SIZE
from tests.local.lab import HOME, Lab, block, client, refused, tagged

DISK = block("a") + bytes(BLOCK_SIZE) + b"the end"


@pytest.fixture
def stored(lab: Lab) -> dict[str, str]:  # noqa: ARG001 - lab's mock is needed
    """Where the disk lies."""
    s3 = client("s3", HOME, "123456789012")
    s3.create_bucket(Bucket="images")
    s3.put_object(Bucket="images", Key="disk.img", Body=DISK)
    return {"S3Bucket": "images", "S3Key": "disk.img"}


def task(lab: Lab, task_id: str) -> dict[str, Any]:
    (shown,) = lab.ec2().describe_import_snapshot_tasks(ImportTaskIds=[task_id])["ImportSnapshotTasks"]
    detail: dict[str, Any] = shown["SnapshotTaskDetail"]
    return detail


def test_a_raw_image_becomes_a_snapshot(lab: Lab, stored: dict[str, str], tmp_path: Path) -> None:
    """Active first, then completed with the id; the content is the image's, padded to a block, without its zeros."""
    lab = Lab(tmp_path / "slow", import_seconds=600)
    container = {"Format": "raw", "UserBucket": stored}
    tags = [tagged("import-snapshot-task", build="b1")]
    started = lab.ec2().import_snapshot(DiskContainer=container, TagSpecifications=tags)
    assert started["Tags"] == [{"Key": "build", "Value": "b1"}]
    active = task(lab, started["ImportTaskId"])
    assert (active["Status"], active["DiskImageSize"]) == ("active", float(len(DISK)))
    assert "SnapshotId" not in active
    lab.wait(601)
    done = task(lab, started["ImportTaskId"])
    assert (done["Status"], done["Format"]) == ("completed", "RAW")
    assert lab.show_snapshot(done["SnapshotId"])["VolumeSize"] == 1
    assert lab.content(done["SnapshotId"]) == {0: block("a"), 2: b"the end".ljust(BLOCK_SIZE, b"\0")}


def test_the_place_can_be_a_url(lab: Lab, stored: dict[str, str]) -> None:
    """Of the form s3://bucket/key, and no other."""
    url = f"s3://{stored['S3Bucket']}/{stored['S3Key']}"
    started = lab.ec2().import_snapshot(DiskContainer={"Format": "RAW", "Url": url})
    assert task(lab, started["ImportTaskId"])["Status"] == "completed"
    with refused("InvalidParameterValue"):
        lab.ec2().import_snapshot(DiskContainer={"Format": "RAW", "Url": "ftp://x/y"})


def test_the_same_token_imports_once(lab: Lab, stored: dict[str, str]) -> None:
    """A repeated request gets the first one's task."""
    asked = {"DiskContainer": {"Format": "RAW", "UserBucket": stored}, "ClientToken": "once"}
    assert lab.ec2().import_snapshot(**asked)["ImportTaskId"] == lab.ec2().import_snapshot(**asked)["ImportTaskId"]
    with refused("IdempotentParameterMismatch"):
        lab.ec2().import_snapshot(**asked, Description="other")


@pytest.mark.parametrize("missing", [{"S3Key": "other.img"}, {"S3Bucket": "other"}], ids=["key", "bucket"])
def test_a_file_that_is_not_there_shows_in_the_task(lab: Lab, stored: dict[str, str], missing: dict[str, str]) -> None:
    """The call is answered; the task ends as deleted and says why."""
    started = lab.ec2().import_snapshot(DiskContainer={"Format": "RAW", "UserBucket": stored | missing})
    ended = task(lab, started["ImportTaskId"])
    assert ended["Status"] == "deleted"
    assert next(iter(missing.values())) in ended["StatusMessage"]


@pytest.mark.parametrize("blocks", [1, 12], ids=["small", "large"])
def test_the_running_cloud_imports_what_lies_in_its_buckets(bench: LocalCloud, blocks: int) -> None:
    """Its objects lie on the disk; an upload in parts is joined."""
    disk = b"".join(block(str(number)) for number in range(blocks)) + b"the end"
    s3, api, ebs = bench.client("s3"), bench.client("ec2"), bench.client("ebs")
    s3.upload_fileobj(BytesIO(disk), "broadside-bucket", "disk.img", Config=TransferConfig(multipart_threshold=5 << 20))
    place = {"S3Bucket": "broadside-bucket", "S3Key": "disk.img"}
    started = api.import_snapshot(DiskContainer={"Format": "RAW", "UserBucket": place})["ImportTaskId"]
    api.get_waiter("snapshot_imported").wait(ImportTaskIds=[started], WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    [done] = api.describe_import_snapshot_tasks(ImportTaskIds=[started])["ImportSnapshotTasks"]
    snapshot_id = done["SnapshotTaskDetail"]["SnapshotId"]
    listed = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"]
    read = b"".join(ebs.get_snapshot_block(SnapshotId=snapshot_id, **each)["BlockData"].read() for each in listed)
    assert read == disk.ljust((blocks + 1) * BLOCK_SIZE, b"\0")


def qemu_img(folder: Path, script: str) -> None:
    """Put a qemu-img of our own on the PATH."""
    program = folder / "qemu-img"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_other_formats_go_through_qemu_img(
    lab: Lab, stored: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes of the file is what is imported; what it complains about is the task's message."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    container = {"Format": "VMDK", "UserBucket": stored}
    qemu_img(folder, '[ "$1 $3 $5" = "convert vmdk raw" ] && cp "$6" "$7"')
    done = task(lab, lab.ec2().import_snapshot(DiskContainer=container)["ImportTaskId"])
    assert done["Status"] == "completed"
    assert lab.content(done["SnapshotId"])[0] == block("a")
    qemu_img(folder, "echo 'not a VMDK' >&2; exit 1")
    ended = task(lab, lab.ec2().import_snapshot(DiskContainer=container)["ImportTaskId"])
    assert (ended["Status"], "not a VMDK" in ended["StatusMessage"]) == ("deleted", True)


def test_without_qemu_img_other_formats_fail_with_a_clear_word(
    lab: Lab, stored: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task names what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    container = {"Format": "VMDK", "UserBucket": stored}
    ended = task(lab, lab.ec2().import_snapshot(DiskContainer=container)["ImportTaskId"])
    assert "qemu-img is needed" in ended["StatusMessage"]


def test_an_unknown_format_is_refused(lab: Lab, stored: dict[str, str]) -> None:
    """InvalidParameterValue."""
    with refused("InvalidParameterValue"):
        lab.ec2().import_snapshot(DiskContainer={"Format": "ISO", "UserBucket": stored})


def test_an_unknown_task_is_refused(lab: Lab) -> None:
    """InvalidConversionTaskId."""
    with refused("InvalidConversionTaskId"):
        task(lab, "import-snap-0123456789abcdef0")
