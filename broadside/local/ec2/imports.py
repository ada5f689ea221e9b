"""ImportSnapshot: a disk image in S3 becomes a snapshot.

RAW is read as it is; other formats need ``qemu-img`` on the PATH.
Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ImportSnapshot.html
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeKey, s3_backends

from broadside.local.ebs.blocks import BLOCK_SIZE, BLOCKS_PER_GIB, Content
from broadside.local.ebs.store import Snapshot, new_id
from broadside.local.ec2 import errors, views
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import ImportTask
from broadside.local.ec2.query import View, page, select
from broadside.local.ec2.validation import check_choice, tag_specifications

#: EC2's name of a disk format, to qemu's.
FORMATS = {"RAW": "raw", "VMDK": "vmdk", "VHD": "vpc", "VHDX": "vhdx"}
FILTERS: dict[str, str] = {}
PAGE_SIZES = range(1, 1001)


class BadDisk(Exception):
    """The task fails with this status message."""


def start(cloud: Cloud, call: Call) -> View:
    """ImportSnapshot, once per client token.

    The content is read at once; the task takes as long as the behaviour says.  What is wrong with the file shows in the
    task's status, as in AWS, not in the answer to this call.

    Raises:
        Ec2Error: InvalidParameterValue for a format or place that is none; IdempotentParameterMismatch.
    """
    # Not the cloud's own lock: reading gigabytes must not stop everybody else.
    with cloud.import_lock:
        return cloud.once(call, "ImportSnapshot", lambda: _start(cloud, call))


def describe(cloud: Cloud, call: Call) -> View:
    """DescribeImportSnapshotTasks.

    Raises:
        Ec2Error: InvalidConversionTaskId for a task that is not there; InvalidPaginationToken.
    """
    known = {key: task for key, task in cloud.imports[call.region].items() if task.owner_id == call.account_id}
    asked: list[str] = call.get("ImportTaskIds", [])
    for task_id in asked:
        if task_id not in known:
            raise errors.Ec2Error("InvalidConversionTaskId", f"The import task '{task_id}' does not exist.")
    shown = [views.import_task(cloud, known[task_id]) for task_id in asked or known]
    found = select(shown, call.get("Filters", []), FILTERS)
    return page(call.parameters, "ImportSnapshotTasks", found, "ImportTaskId", PAGE_SIZES)


def _start(cloud: Cloud, call: Call) -> View:
    container = call.need("DiskContainer")
    disk_format = container.get("Format", "RAW").upper()
    check_choice("format", disk_format, tuple(FORMATS))
    bucket, key = _place(container)
    tags = tag_specifications(call.get("TagSpecifications", []), ["import-snapshot-task"])["import-snapshot-task"]
    now = cloud.now()
    task = ImportTask(
        task_id=new_id("import-snap"),
        owner_id=call.account_id,
        region=call.region,
        description=call.get("Description", ""),
        tags=tags,
        disk_format=disk_format,
        bucket=bucket,
        key=key,
        size=0,
        ready_at=now + cloud.behaviour.import_seconds,
        encrypted=call.get("Encrypted", False),
    )
    try:
        _import(cloud, call, task)
    except BadDisk as problem:
        task.failure = f"ClientError: {problem}"
    cloud.imports[call.region][task.task_id] = task
    return views.import_task(cloud, task)


def _place(container: dict[str, Any]) -> tuple[str, str]:
    """Bucket and key."""
    named = container.get("UserBucket")
    if named:
        return named.get("S3Bucket", ""), named.get("S3Key", "")
    url = urlsplit(container.get("Url", ""))
    if url.scheme != "s3":
        raise errors.invalid_value("DiskContainer has neither a UserBucket nor a Url of the form s3://bucket/key.")
    return url.netloc, url.path.lstrip("/")


def _import(cloud: Cloud, call: Call, task: ImportTask) -> None:
    stored = _stored(task)
    task.size = stored.size
    content = cloud.snapshots.content()
    if task.disk_format == "RAW":
        size = _fill(content, _object_blocks(stored))
    else:
        with _converted(cloud, stored, FORMATS[task.disk_format]) as disk:
            size = _fill(content, iter(lambda: disk.read(BLOCK_SIZE), b""))
    if size == 0:
        raise BadDisk("Disk validation failed [the file is empty]")
    content.seal()
    snapshot = Snapshot(
        snapshot_id=new_id("snap"),
        owner_id=task.owner_id,
        region=task.region,
        volume_size=-(-size // BLOCKS_PER_GIB),
        content=content,
        created=cloud.now(),
        description=f"Created by AWS-VMImport service for {task.task_id}",
        encrypted=task.encrypted,
        kms_key=call.get("KmsKeyId"),
        completes_at=task.ready_at,
    )
    task.snapshot_id = cloud.snapshots.add(snapshot).snapshot_id


def _stored(task: ImportTask) -> FakeKey:
    try:
        stored = s3_backends[task.owner_id]["aws"].get_object(task.bucket, task.key)
    except MissingBucket:
        stored = None
    if stored is None:
        raise BadDisk(f"Disk validation failed [there is no s3://{task.bucket}/{task.key}]")
    return stored


def _fill(content: Content, blocks: Iterator[bytes]) -> int:
    """Write the ``blocks``, the last one padded with zeros, and return how many they are.  Zeros are left out."""
    count = 0
    for index, data in enumerate(blocks):
        count = index + 1
        whole = data.ljust(BLOCK_SIZE, b"\0")
        if any(whole):
            content.put(index, hashlib.sha256(whole).digest(), whole)
    return count


def _object_blocks(stored: FakeKey) -> Iterator[bytes]:
    """The object's bytes in pieces of a block.  Its value is read by slices: a large one lies on the disk."""
    content = stored.value
    for offset in range(0, stored.size, BLOCK_SIZE):
        yield content[offset : offset + BLOCK_SIZE]


@contextmanager
def _converted(cloud: Cloud, stored: FakeKey, qemu_format: str) -> Iterator[BinaryIO]:
    """The disk as a raw file, made by qemu-img."""
    program = shutil.which("qemu-img")
    if program is None:
        raise BadDisk(f"Disk validation failed [qemu-img is needed for {qemu_format} and is not installed here]")
    with tempfile.TemporaryDirectory(dir=cloud.world.state) as folder:
        source, target = Path(folder, "source"), Path(folder, "disk.raw")
        with source.open("wb") as file:
            for data in _object_blocks(stored):
                file.write(data)
        command = [program, "convert", "-f", qemu_format, "-O", "raw", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed program, no shell
        if done.returncode:
            raise BadDisk(f"Disk validation failed [{done.stderr.strip() or 'unreadable'}]")
        with target.open("rb") as file:
            yield file
