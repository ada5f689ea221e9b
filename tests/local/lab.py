"""A cloud to try: our EC2 and EBS behind boto3 in this process, and a clock that goes when it is told to."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from broadside.local import ebs, ec2, ssm
from broadside.local.behaviour import Behaviour
from broadside.local.ebs.blocks import BLOCK_SIZE
from broadside.local.world import ACCOUNT_ID, Clock, World

HOME = "us-east-1"
AWAY = "eu-west-1"
STRANGER = "111122223333"


class Lab:
    """One world with boto3 clients.  Unless a test says otherwise nothing takes time and one second is one second."""

    def __init__(self, state: Path, **behaviour: Any) -> None:
        self.seconds = 1_800_000_000.0  # in the year 2027
        durations = ("register", "copy", "import", "snapshot_complete", "visibility", "parameter", "usage_report")
        immediate = {f"{name}_seconds": 0 for name in durations}
        self.world = World(state, Behaviour(**(immediate | behaviour)), Clock(wall=lambda: self.seconds))
        self.ebs_service = ebs.install(self.world)
        self.cloud = ec2.install(self.world)
        ssm.install(self.world, self.cloud)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def ec2(self, region: str = HOME, account: str = ACCOUNT_ID) -> Any:
        return client("ec2", region, account)

    def ebs(self, region: str = HOME, account: str = ACCOUNT_ID) -> Any:
        return client("ebs", region, account)

    def ssm(self, region: str = HOME, account: str = ACCOUNT_ID) -> Any:
        return client("ssm", region, account)

    def snapshot(self, region: str = HOME, *, size: int = 1, blocks: dict[int, bytes] | None = None, **start: Any) -> str:
        """A completed snapshot with these blocks."""
        given = {0: block("root")} if blocks is None else blocks
        snapshot_id: str = self.ebs(region).start_snapshot(VolumeSize=size, **start)["SnapshotId"]
        for index, data in given.items():
            self.put(snapshot_id, index, data, region)
        self.ebs(region).complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=len(given))
        return snapshot_id

    def put(self, snapshot_id: str, index: int, data: bytes, region: str = HOME, **other: Any) -> Any:
        sent = {"DataLength": BLOCK_SIZE, "Checksum": checksum(data), "ChecksumAlgorithm": "SHA256"} | other
        return self.ebs(region).put_snapshot_block(SnapshotId=snapshot_id, BlockIndex=index, BlockData=data, **sent)

    def content(self, snapshot_id: str, region: str = HOME, account: str = ACCOUNT_ID) -> dict[int, bytes]:
        """All blocks of a snapshot, read back as a client does."""
        api = self.ebs(region, account)
        found: dict[int, bytes] = {}
        more: dict[str, Any] = {}
        while True:  # boto3 has no paginator for this one
            listed = api.list_snapshot_blocks(SnapshotId=snapshot_id, **more)
            for entry in listed["Blocks"]:
                found[entry["BlockIndex"]] = api.get_snapshot_block(SnapshotId=snapshot_id, **entry)["BlockData"].read()
            if "NextToken" not in listed:
                return found
            more = {"NextToken": listed["NextToken"]}

    def image(self, region: str = HOME, *, name: str = "image", **other: Any) -> str:
        """A registered image."""
        asked = {"BlockDeviceMappings": [root(self.snapshot(region))]} if "BlockDeviceMappings" not in other else {}
        answer = self.ec2(region).register_image(Name=name, RootDeviceName="/dev/sda1", **asked, **other)
        image_id: str = answer["ImageId"]
        return image_id

    def show(self, image_id: str, region: str = HOME, account: str = ACCOUNT_ID) -> dict[str, Any]:
        """The image as DescribeImages shows it."""
        shown: dict[str, Any] = self.ec2(region, account).describe_images(ImageIds=[image_id])["Images"][0]
        return shown

    def show_snapshot(self, snapshot_id: str, region: str = HOME) -> dict[str, Any]:
        """The snapshot as DescribeSnapshots shows it."""
        shown: dict[str, Any] = self.ec2(region).describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
        return shown

    def publish(self, image_id: str, region: str = HOME) -> None:
        self.ec2(region).modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"Group": "all"}]})


@cache
def client(service: str, region: str, account: str) -> Any:
    """A client that neither retries nor checks parameters that the service is to check; made once."""
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    keys = {"aws_access_key_id": "user", "aws_secret_access_key": "none"}
    made = boto3.client(service, region_name=region, config=config, **keys)

    def as_account(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = account

    made.meta.events.register("before-sign", as_account)
    return made


def root(snapshot_id: str, **ebs_options: Any) -> dict[str, Any]:
    """The mapping of a root device."""
    return {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id} | ebs_options}


def block(seed: str) -> bytes:
    """A block's worth of bytes that differ from those of another seed."""
    return hashlib.sha256(seed.encode()).digest() * (BLOCK_SIZE // 32)


def checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def tagged(kind: str, /, **tags: str) -> dict[str, Any]:
    """A tag specification."""
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


@contextmanager
def refused(code: str, *, reason: str | None = None, status: int | None = None) -> Iterator[None]:
    """The call inside is refused with this error code, this ``Reason`` and this HTTP status."""
    with pytest.raises(ClientError) as caught:
        yield
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert reason in (None, response.get("Reason"))
    assert status in (None, response["ResponseMetadata"]["HTTPStatusCode"])
