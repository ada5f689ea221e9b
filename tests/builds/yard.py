"""A builder at the builds bucket, and what is seen of it: what the tests of taking uploads in are told in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from chalicelib import aws
from chalicelib.builds.ingest import Ingest
from chalicelib.index.records import BuildRecord, Upload
from chalicelib.index.table import Index
from chalicelib.names import MANIFEST_NAME, STATUS_NAME
from tests import examples
from tests.examples import BUILD, CONTENT
from tests.keys import Key

REGION = "us-east-1"
KEY = f"{BUILD.folder}/{MANIFEST_NAME}"

READS = ("Get", "Head", "List", "Describe", "Query")


class Calls(list[str]):
    """The names of the API calls that were made."""

    def note(self, model: Any, **_: Any) -> None:
        self.append(model.name)

    @property
    def writes(self) -> list[str]:
        """Those that change something."""
        return [name for name in self if not name.startswith(READS)]


@dataclass
class Yard:
    """The buckets, the index, the state machine, and a clock that stands still."""

    builder: Key
    s3: aws.Client
    states: aws.Client
    calls: Calls
    now: str = "2026-11-20T10:00:00Z"
    index: Index = field(init=False)
    room: Ingest = field(init=False)

    def put(self, name: str, body: bytes, folder: str = BUILD.folder) -> str:
        """Upload one object; returns its version id."""
        return str(self.s3.put_object(Bucket="builds", Key=f"{folder}/{name}", Body=body)["VersionId"])

    def put_manifest(self, body: bytes | None = None, folder: str = BUILD.folder, **changes: Any) -> str:
        """Upload a manifest: these bytes, or a good one with changes, signed."""
        return self.put(MANIFEST_NAME, body or self.builder.clearsign(examples.manifest(**changes)), folder)

    def put_build(self, content: bytes = CONTENT, **changes: Any) -> None:
        """Upload an image and then its manifest."""
        self.put("disk.img", content)
        self.put_manifest(content=content, **changes)

    def ingest(self) -> Upload:
        """Ingest the manifest, which must be there."""
        upload = self.room.ingest(KEY)
        assert upload is not None
        return upload

    def build(self) -> BuildRecord:
        """The build's record, which must be there."""
        record = self.index.build(BUILD)
        assert record is not None
        return record

    def status(self) -> dict[str, Any] | None:
        """``build.status.json`` as the uploader finds it."""
        key = f"{BUILD.folder}/{STATUS_NAME}"
        if not self.s3.list_objects_v2(Bucket="builds", Prefix=key).get("Contents"):
            return None
        found: dict[str, Any] = json.loads(self.s3.get_object(Bucket="builds", Key=key)["Body"].read())
        return found

    def executions(self) -> dict[str, dict[str, Any]]:
        """The inputs of the executions that were started, by name."""
        machine = self.room.state_machine
        listed = self.states.list_executions(stateMachineArn=machine)["executions"]
        described = [self.states.describe_execution(executionArn=each["executionArn"]) for each in listed]
        return {each["name"]: json.loads(each["input"]) for each in described}

    def end_executions(self) -> None:
        """Let the running executions end."""
        machine = self.room.state_machine
        for each in self.states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
            self.states.stop_execution(executionArn=each["executionArn"])
