"""A builder, a release manager and a reader at the embedded cloud: what the end-to-end tests are told in."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boto3.session import Session

from broadside import proof
from broadside.cli.common import Stack, open_index
from broadside.local.cloud import LocalCloud
from broadside.proof import NotProven
from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState, UploadState
from chalicelib.names import MANIFEST_NAME, STATUS_NAME, BuildId
from chalicelib.snapshots.blocks import BLOCK_SIZE
from tests.examples import manifest
from tests.keys import Key

PRODUCT = "com.example.cloud:server:24.04:amd64"

#: Whose calls no test has caused: the user's own, and those of the functions that run every few seconds of a fast clock.
SCHEDULED = frozenset({"user", "broadside-Sweep", "broadside-ClearOrphans"})


def image(blocks: int, seed: int = 1) -> bytes:
    """A small disk: random blocks, a block of zeros, and an end that is no whole block."""
    source = random.Random(seed)  # noqa: S311 - repeatable content, no secret
    content = [source.randbytes(BLOCK_SIZE) for _ in range(blocks - 1)]
    content.insert(1, bytes(BLOCK_SIZE))
    return b"".join(content)[: blocks * BLOCK_SIZE - 4096]


@dataclass
class Site:
    """One deployment, with its keys in place."""

    cloud: LocalCloud
    builder: Key
    signer: Key
    stack: Stack = field(init=False)
    session: Session = field(init=False)
    _serial: int = 0

    def __post_init__(self) -> None:
        self.session = self.cloud.session()
        self.stack = Stack.find("broadside", self.session)
        self.index = open_index(self.stack, self.session)
        self.s3 = self.session.client("s3")
        self.s3.put_object(Bucket=self.stack.work_bucket, Key="keyrings/builders.gpg", Body=self.builder.public)
        secret = json.dumps({"private_key": self.signer.private, "passphrase": self.signer.passphrase})
        self.session.client("secretsmanager").put_secret_value(SecretId=self.stack.signing_secret, SecretString=secret)

    @property
    def public_url(self) -> str:
        """Where readers begin, with the slash at the end that sstream-query needs."""
        return self.stack.public_url.rstrip("/") + "/"

    # The builder

    def new_build(self, stream: str = "daily", product: str = PRODUCT) -> BuildId:
        """A build that nobody has uploaded yet."""
        self._serial += 1
        return BuildId(product, stream, f"20261120.{self._serial}")

    def put(self, build: BuildId, name: str, body: bytes) -> str:
        """Upload one object of the build; returns its version id."""
        answer = self.s3.put_object(Bucket=self.stack.builds_bucket, Key=f"{build.folder}/{name}", Body=body)
        return str(answer["VersionId"])

    def upload(self, content: bytes, stream: str = "daily", product: str = PRODUCT, **changes: Any) -> BuildId:
        """Upload an image, then its signed manifest, as a builder with nothing but gpg and an S3 client does."""
        build = self.new_build(stream, product)
        self.put(build, "disk.img", content)
        self.put(build, MANIFEST_NAME, self.builder.clearsign(manifest(content, build, **changes)))
        return build

    def deliver_again(self, build: BuildId) -> None:
        """Hand the event of the build's manifest to the function once more, as EventBridge may at any time."""
        detail = {"bucket": {"name": self.stack.builds_bucket}, "object": {"key": f"{build.folder}/{MANIFEST_NAME}"}}
        envelope = dict.fromkeys(("version", "account", "region", "time", "id"), "") | {"resources": []}
        event = envelope | {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
        answer = self.session.client("lambda").invoke(FunctionName="broadside-Ingest", Payload=json.dumps(event))
        assert "FunctionError" not in answer, answer["Payload"].read()

    # What is seen of it

    def record(self, build: BuildId) -> BuildRecord | None:
        return self.index.build(build)

    def regions(self, build: BuildId) -> dict[str, Publication]:
        return {publication.region: publication for publication in self.index.publications(build)}

    def wait_for(self, build: BuildId, *states: BuildState, timeout: float = 90) -> BuildRecord:
        """Wait until the build is in one of the states and nothing runs for it any more."""

        def there() -> BuildRecord | None:
            record = self.record(build)
            return record if record is not None and record.state in states and not self.running() else None

        return self.until(there, f"{build} to be {' or '.join(states)}", timeout)

    def wait_refused(self, build: BuildId, timeout: float = 30) -> str:
        """Wait until the build's manifest is refused; returns the sentence, which the status file must hold, too."""
        key = f"{build.folder}/{MANIFEST_NAME}"

        def there() -> str | None:
            upload = self.index.upload(key)
            return upload.reason if upload is not None and upload.state is UploadState.REFUSED else None

        reason = self.until(there, f"{key} to be refused", timeout)

        def told() -> bool:
            return reason in json.dumps(self.status_file(build), ensure_ascii=False)

        self.until(told, f"the status file to say {reason!r}", timeout)
        return reason

    def status_file(self, build: BuildId) -> dict[str, Any] | None:
        """``build.status.json`` as the uploader finds it."""
        try:
            body = self.s3.get_object(Bucket=self.stack.builds_bucket, Key=f"{build.folder}/{STATUS_NAME}")["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None
        found: dict[str, Any] = json.loads(body)
        return found

    def running(self) -> int:
        """How many executions are under way."""
        states = self.session.client("stepfunctions")
        return sum(
            len(states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"])
            for machine in (self.stack.publish_state_machine, self.stack.rollout_state_machine)
        )

    def until(self, found: Callable[[], Any], what: str, timeout: float = 60) -> Any:
        """Poll until ``found`` answers something true."""
        return self.cloud.wait_until(found, timeout, what)

    # EC2

    def images(self, build: BuildId, region: str) -> list[dict[str, Any]]:
        """Our AMIs of the build in a Region."""
        found = self.session.client("ec2", region_name=region).describe_images(
            Owners=["self"], Filters=[{"Name": "tag:broadside:build", "Values": [str(build)]}]
        )
        return list(found["Images"])

    def snapshots(self, build: BuildId, region: str) -> list[dict[str, Any]]:
        """Our snapshots of the build in a Region, in whatever state."""
        found = self.session.client("ec2", region_name=region).describe_snapshots(
            OwnerIds=["self"], Filters=[{"Name": "tag:broadside:build", "Values": [str(build)]}]
        )
        return list(found["Snapshots"])

    def read_snapshot(self, region: str, snapshot_id: str, blocks: int) -> bytes:
        """The first ``blocks`` blocks of a snapshot through the EBS direct API; what was never written reads as zeros."""
        ebs = self.session.client("ebs", region_name=region)
        content = bytearray(blocks * BLOCK_SIZE)
        token: dict[str, str] = {}
        blocks_there: list[dict[str, Any]] = []
        while True:
            page = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, **token)
            blocks_there += page["Blocks"]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        for block in blocks_there:
            answer = ebs.get_snapshot_block(
                SnapshotId=snapshot_id, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"]
            )
            data = answer["BlockData"].read()
            assert base64.b64encode(hashlib.sha256(data).digest()).decode() == answer["Checksum"]
            at = block["BlockIndex"] * BLOCK_SIZE
            content[at : at + BLOCK_SIZE] = data
        return bytes(content)

    # The functions

    def calls_since(self, number: int) -> list[dict[str, Any]]:
        """The calls that functions have made after the ``number``-th call of all, but for those that run by the clock."""
        return [call for call in self.cloud.calls(after=number) if call["caller"] not in SCHEDULED]

    def last_call(self) -> int:
        """The number of the newest call."""
        return max((int(call["n"]) for call in self.cloud.calls()), default=0)

    def fire(self, function: str) -> None:
        """Let the schedule of a function, by its logical id, be due now."""
        events = self.session.client("events")
        for rule in events.list_rules()["Rules"]:
            targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            if "ScheduleExpression" in rule and any(each["Arn"].endswith(f"-{function}") for each in targets):
                self.cloud.fire_schedule(rule["Name"])
                return
        raise AssertionError(f"{function} has no schedule")

    # The reader

    def query(self, *filters: str, keyring: Path) -> list[dict[str, Any]]:
        """What ``sstream-query`` finds, verified against the keyring.

        Raises:
            NotProven: the reader refused the files.
        """
        return proof.query(self.public_url, keyring, *filters)

    def named(self, build: BuildId, keyring: Path) -> Mapping[str, str]:
        """The AMIs that the query file names for the build, by Region."""
        found = self.query(f"version_name={build.serial}", "datatype=image-ids", keyring=keyring)
        return {item["crsn"]: item["id"] for item in found}

    def wait_named(self, build: BuildId, regions: set[str], keyring: Path) -> Mapping[str, str]:
        """Wait until the query file names the build in exactly these Regions."""

        def there() -> Mapping[str, str] | None:
            try:
                named = self.named(build, keyring)
            except NotProven:  # no file yet
                return None
            return named if set(named) == regions else None

        found: Mapping[str, str] = self.until(there, f"the query file to name {build} in {sorted(regions)}")
        return found


def public(publications: Mapping[str, Publication]) -> set[str]:
    """The Regions in which a build is public."""
    return {region for region, each in publications.items() if each.state is PublicationState.PUBLIC}
