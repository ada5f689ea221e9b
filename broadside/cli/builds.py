"""Finding the build that a person means, and the executions of the state machines that work on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from chalicelib.errors import BadManifest, BroadsideError, CloudRefused
from chalicelib.index.records import BuildRecord, Upload, UploadState
from chalicelib.names import MANIFEST_NAME, BuildId

if TYPE_CHECKING:  # slow to import, and here only for the annotations
    from chalicelib.aws import Client
    from chalicelib.index.table import Index


class NoSuchBuild(BroadsideError):
    """What the user typed names no build, or more than one."""


class NotNow(BroadsideError):
    """The build is not in a state for what the user asked."""


def match(text: str, builds: list[BuildId]) -> BuildId:
    """The one build whose name ends in ``text``, from a slash or colon on: ``daily/20261120``, ``20261120``.

    Raises:
        NoSuchBuild: none or several do.
    """
    found = sorted({each for each in builds if f"/{each}".endswith((f"/{text}", f":{text}"))}, key=lambda each: each.sort_key)
    if not found:
        raise NoSuchBuild(f"No build is called {text!r}: `broadside status` lists them.")
    if len(found) > 1:
        some = ", ".join(str(each) for each in found[:4]) + (", ..." if len(found) > 4 else "")
        raise NoSuchBuild(f"{text!r} may be {len(found)} builds; say more of the name: {some}")
    return found[0]


def resolve(index: Index, text: str) -> BuildId:
    """The build that ``text`` means: PRODUCT/STREAM/SERIAL, or the end of it where only one build has it.

    Raises:
        NoSuchBuild: see :func:`match`; a whole name is not looked up.
    """
    try:
        return BuildId.parse(text)
    except BadManifest:
        return match(text, _builds(index))


def resolve_upload(index: Index, text: str) -> BuildId:
    """The same, also among the uploads that became no build: by the name it was to have, or by the manifest's key.

    Raises:
        NoSuchBuild: see :func:`match`; or the upload is known by its key alone, then the sentence says what became of it.
    """
    try:
        return BuildId.parse(text)
    except BadManifest:
        stuck = [upload for upload in index.uploads() if upload.state is not UploadState.ACCEPTED]
    meant = {upload.key: intended(upload) for upload in stuck}
    upload = next((each for each in stuck if each.key == text), None)
    if upload is None:
        return match(text, [*_builds(index), *(build for build in meant.values() if build)])
    build = meant[text]
    if build is None:
        raise NoSuchBuild(f"{text} became no build, it is {upload.state}: {upload.reason}")
    return build


def intended(upload: Upload) -> BuildId | None:
    """The build that an upload was to become: what its manifest says, where it could be read, else what its folder says."""
    folder = upload.key.removesuffix(f"/{MANIFEST_NAME}")
    try:
        return BuildId.parse(upload.build or folder.replace("/", ":", 3))  # as BuildId.folder is made
    except BadManifest:
        return None


def _builds(index: Index) -> list[BuildId]:
    return [record.id for stream in index.streams() for record in index.builds(stream)]


def recorded(index: Index, text: str) -> BuildRecord:
    """The record of the build that ``text`` means.

    Raises:
        NoSuchBuild: there is none.
    """
    build = resolve(index, text)
    record = index.build(build)
    if record is None:
        raise NoSuchBuild(f"There is no build {build}: `broadside status` lists them.")
    return record


@dataclass(frozen=True)
class Executions:
    """The executions of one state machine, by ``machine``, its ARN."""

    client: Client
    machine: str

    def arn(self, name: str) -> str:
        return f"{self.machine.replace(':stateMachine:', ':execution:')}:{name}"

    def status(self, name: str) -> str | None:
        """Step Functions' status, ``RUNNING`` while it works; None when there is no such execution."""
        try:
            return str(self.client.describe_execution(executionArn=self.arn(name))["status"])
        except CloudRefused as error:
            if error.code == "ExecutionDoesNotExist":
                return None
            raise

    def is_running(self, name: str) -> bool:
        return self.status(name) == "RUNNING"

    def first_open(self, names: Iterable[str]) -> tuple[str, bool]:
        """The first of ``names`` whose execution is not over, and whether it runs already."""
        for name in names:
            status = self.status(name)
            if status in (None, "RUNNING"):
                return name, status == "RUNNING"
        raise ValueError("every name is used up")

    def start(self, name: str, payload: dict[str, Any]) -> None:
        """Start the execution ``name``; starting the same again while it runs does nothing."""
        self.client.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps(payload))


# --- What works on a build ------------------------------------------------------------------------------------------


def publish_names(record: BuildRecord) -> Iterator[str]:
    """The names of the publish executions of a build: of the first, and of the retries."""
    return (record.id.execution_name(record.digest, attempt) for attempt in count())


@dataclass(frozen=True)
class Work:
    """What goes on with a build, in words, and whether it still does."""

    what: str
    goes_on: Callable[[], bool]


def under_way(index: Index, record: BuildRecord, publish: Executions) -> Work | None:
    """The release or withdrawal that has claimed the build, or the execution that publishes it.

    None if there is neither, or if the caller may not see executions.

    Raises:
        CloudError: Step Functions did not answer, or refused for another reason.
    """
    if record.claimed_by:
        return Work(f"The {record.claimed_by}", lambda: _is_claimed(index, record.id))
    try:
        name, running = publish.first_open(publish_names(record))
        if running:
            return Work("A retry" if "-retry-" in name else "The publication", partial(publish.is_running, name))
    except CloudRefused as error:
        if error.code != "AccessDeniedException":  # whoever may only read the index sees what is in it
            raise
    return None


def _is_claimed(index: Index, build: BuildId) -> bool:
    record = index.build(build)
    return record is not None and bool(record.claimed_by)
