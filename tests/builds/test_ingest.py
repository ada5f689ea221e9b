"""Taking uploads in: events in any order and number, faults of the builder, and death between any two calls."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from chalicelib import aws
from chalicelib.builds.ingest import GRACE, KEYRING_KEY, Ingest
from chalicelib.errors import CloudBusy, SetupWrong
from chalicelib.index.records import BuildRecord, BuildState, PublicationState, Upload, UploadState
from chalicelib.index.table import Index
from chalicelib.names import STATUS_NAME
from tests import examples
from tests.builds.yard import KEY, Yard
from tests.examples import BUILD, CONTENT, file
from tests.keys import Key, new_key


@pytest.fixture(scope="module")
def stranger() -> Iterator[Key]:
    """A key that is not in the builders' keyring."""
    with new_key("stranger") as key:
        yield key


# --- What an upload becomes


def test_a_build_is_recorded_pinned_and_started(yard: Yard) -> None:
    """Image first, manifest last: the usual way."""
    first = yard.put("disk.img", CONTENT)
    version = yard.put_manifest()
    upload = yard.ingest()
    assert upload == Upload(KEY, version, UploadState.ACCEPTED, "", yard.now, str(BUILD))
    record = yard.build()
    assert record.state is BuildState.RECORDED
    assert record.manifest == examples.manifest()
    assert (record.manifest_key, record.manifest_version) == (KEY, version)
    assert record.signer == yard.builder.fingerprint
    (pinned,) = record.files
    assert (pinned.key, pinned.version_id, pinned.size) == (f"{BUILD.folder}/disk.img", first, len(CONTENT))
    assert yard.executions() == {
        BUILD.execution_name(record.digest): {"build": str(BUILD), "digest": record.digest, "files": ["disk.img"]}
    }
    status = yard.status()
    assert status is not None
    assert (status["state"], status["build"], status["reason"]) == ("recorded", str(BUILD), "")


def test_the_folder_is_the_builder_s_choice(yard: Yard) -> None:
    """The manifest says which build it is, not the place where it lies."""
    for folder in ("latest", "a/b/c d/é"):
        yard.put("disk.img", CONTENT, folder)
        yard.put_manifest(folder=folder)
        upload = yard.room.ingest(f"{folder}/build.sjson")
        assert upload is not None
        assert upload.state is UploadState.ACCEPTED


@pytest.mark.parametrize("order", list(itertools.permutations(["disk.img", "disk.qcow2", "manifest"])))
def test_the_order_of_the_uploads_does_not_matter(yard: Yard, order: tuple[str, ...]) -> None:
    """Each object's arrival is told, and the last one starts the publication."""
    files = [file("disk.img", "disk1.img", CONTENT), file("disk.qcow2", "disk.qcow2", b"qcow2")]
    content = {"disk.img": CONTENT, "disk.qcow2": b"qcow2"}
    for name in order:
        key = KEY if name == "manifest" else f"{BUILD.folder}/{name}"
        if name == "manifest":
            yard.put_manifest(files=files)
        else:
            yard.put(name, content[name])
        yard.room.arrived(key)
    assert yard.build().state is BuildState.RECORDED
    assert len(yard.executions()) == 1


def test_a_build_whose_file_is_missing_waits_and_says_so(yard: Yard) -> None:
    """Nothing is recorded or started meanwhile."""
    yard.put_manifest()
    upload = yard.ingest()
    assert upload.state is UploadState.WAITING
    assert upload.reason == "Waiting for disk.img beside the manifest: upload what is missing."
    status = yard.status()
    assert status is not None
    assert (status["state"], status["build"], status["reason"]) == ("waiting", str(BUILD), upload.reason)
    assert yard.index.build(BUILD) is None
    assert not yard.executions()


def test_objects_without_a_manifest_are_nobody_s_business(yard: Yard) -> None:
    """An image on its way, a manifest that is gone again, and the status file itself."""
    yard.put("disk.img", CONTENT)
    assert yard.room.arrived(f"{BUILD.folder}/disk.img") is None
    assert yard.room.ingest("nowhere/build.sjson") is None
    yard.put_build()
    yard.calls.clear()
    assert yard.room.arrived(f"{BUILD.folder}/{STATUS_NAME}") is None
    assert yard.calls == []


# --- The same again


def test_a_second_event_makes_no_write(yard: Yard) -> None:
    """Once the publication goes on, not even an attempt to start it."""
    yard.put_build()
    first = yard.ingest()
    yard.index.set_build(BUILD, state=BuildState.PUBLISHING)
    yard.calls.clear()
    for _ in range(3):
        assert yard.ingest() == first
        yard.room.arrived(f"{BUILD.folder}/disk.img")
    assert yard.calls.writes == []


def test_a_second_event_of_a_refused_or_waiting_upload_makes_no_write(yard: Yard) -> None:
    """It is judged anew, and the same is said already."""
    yard.put_manifest()
    yard.ingest()
    yard.now = "2026-11-20T11:00:00Z"
    yard.calls.clear()
    yard.ingest()
    assert yard.calls.writes == []
    yard.put_manifest(b"not signed")
    yard.ingest()
    yard.now = "2026-11-20T12:00:00Z"
    yard.calls.clear()
    yard.ingest()
    assert yard.calls.writes == []


def test_a_manifest_that_was_signed_anew_is_the_same_build(yard: Yard) -> None:
    """Its digest is another, its content is not: nothing is refused, and nothing starts."""
    yard.put_build()
    yard.ingest()
    record = yard.build()
    yard.index.set_build(BUILD, state=BuildState.PUBLIC)
    again = yard.builder.gpg("--comment", "again", "--digest-algo", "SHA512", "--clearsign", data=examples.text())
    yard.put_manifest(again)
    assert yard.ingest().state is UploadState.ACCEPTED
    assert yard.build().digest == record.digest
    assert len(yard.executions()) == 1
    status = yard.status()
    assert status is not None
    assert status["state"] == "public"


def test_a_serial_is_never_replaced_by_other_content(yard: Yard) -> None:
    """The first one stays as it is; the second is told since when."""
    yard.put_build()
    yard.ingest()
    first = yard.build()
    yard.put_manifest(release_title="Another")
    upload = yard.ingest()
    assert upload.state is UploadState.REFUSED
    assert upload.reason == (
        f"{BUILD} was recorded on 2026-11-20T10:00:00Z with different content: upload this one under a new serial."
    )
    assert yard.build() == first
    assert len(yard.executions()) == 1


def test_a_serial_is_taken_even_if_the_new_files_are_missing(yard: Yard) -> None:
    """Nobody is left waiting for what would be refused."""
    yard.put_build()
    yard.ingest()
    yard.put_manifest(files__0__path="other.img", ec2__image="other.img")
    assert yard.ingest().state is UploadState.REFUSED


# --- Refused


def refused(yard: Yard) -> str:
    """Ingest what lies there; returns the sentence, which also stands in the index and in the status file."""
    yard.calls.clear()
    upload = yard.ingest()
    assert upload.state is UploadState.REFUSED
    assert yard.index.upload(KEY) == upload
    status = yard.status()
    assert status is not None
    assert (status["state"], status["reason"]) == ("refused", upload.reason)
    assert yard.index.build(BUILD) is None
    assert not yard.executions()
    return upload.reason


BAD: list[tuple[str, Callable[[Yard, Key], bytes], str]] = [
    ("unsigned", lambda _yard, _key: examples.text(), "not clearsigned"),
    ("unknown key", lambda _yard, key: key.clearsign(examples.text()), "not in the keyring"),
    ("junk before", lambda yard, _key: b"junk\n" + yard.builder.clearsign(examples.text()), "something before"),
    ("junk after", lambda yard, _key: yard.builder.clearsign(examples.text()) + b"junk\n", "something after"),
    ("two messages", lambda yard, _key: yard.builder.clearsign(examples.text()) * 2, "something after"),
    ("truncated", lambda yard, _key: yard.builder.clearsign(examples.text())[:-60], "cut off"),
    ("changed", lambda yard, _key: yard.builder.clearsign(examples.text()).replace(b"noble", b"bully"), "changed after"),
    ("not JSON", lambda yard, _key: yard.builder.clearsign(b"product: server\n"), "not JSON"),
    ("key twice", lambda yard, _key: yard.builder.clearsign(b'{"format": 1,\n "format": 1}'), "there twice"),
    ("unknown field", lambda yard, _key: yard.builder.clearsign(examples.text(colour="blue")), "field colour"),
    ("bad serial", lambda yard, _key: yard.builder.clearsign(examples.text(serial="20261320")), "field serial"),
    ("climbing path", lambda yard, _key: yard.builder.clearsign(examples.text(files__0__path="../x")), "files[0].path"),
    ("50 MB", lambda _yard, _key: bytes(50_000_000), "too large: 50,000,000 bytes"),
    ("wrong size", lambda yard, _key: yard.builder.clearsign(examples.text(files__0__size=5)), "2,600 bytes"),
]


@pytest.mark.parametrize(("make", "sentence"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
def test_bad_input_is_refused_with_one_sentence(
    yard: Yard, stranger: Key, make: Callable[[Yard, Key], bytes], sentence: str
) -> None:
    """And costs two writes: the index and the status file."""
    yard.put("disk.img", CONTENT)
    yard.put_manifest(make(yard, stranger))
    assert sentence in refused(yard)


def test_a_manifest_that_is_too_large_is_not_downloaded(yard: Yard) -> None:
    """Its size is known beforehand."""
    yard.put_manifest(bytes(2_000_000))
    yard.calls.clear()
    assert yard.ingest().state is UploadState.REFUSED
    assert yard.calls.count("GetObject") == 1  # the status file, which is not there yet


def test_a_better_manifest_follows_a_bad_one(yard: Yard) -> None:
    """A refusal is of that upload alone."""
    yard.put_build(colour="blue")
    refused(yard)
    yard.put_manifest()
    assert yard.ingest().state is UploadState.ACCEPTED


def test_yesterday_s_image_in_the_same_folder_does_not_stop_today_s(yard: Yard) -> None:
    """The manifest was faster than the image: refused at first for the old one's size, published with the new one."""
    yard.put("disk.img", b"of yesterday")
    yard.put_manifest()
    assert "12 bytes" in refused(yard)
    yard.put("disk.img", CONTENT)
    upload = yard.room.arrived(f"{BUILD.folder}/disk.img")
    assert upload is not None
    assert upload.state is UploadState.ACCEPTED
    assert len(yard.executions()) == 1


def refuse_build(yard: Yard) -> BuildRecord:
    """What becomes of a build whose file has another digest, seconds after its publication has started."""
    after = yard.index.set_build(BUILD, state=BuildState.REFUSED, reason="disk.img has the SHA-256 of something else.")
    upload = Upload(after.manifest_key, after.manifest_version, UploadState.REFUSED, after.reason, after.updated, str(BUILD))
    yard.index.put_upload(upload)
    yard.end_executions()
    return after


def test_a_build_refused_for_its_content_stays_refused(yard: Yard) -> None:
    """However often its event comes."""
    yard.put_build()
    yard.ingest()
    record = refuse_build(yard)
    yard.calls.clear()
    for _ in range(3):
        upload = yard.ingest()
        assert (upload.state, upload.reason) == (UploadState.REFUSED, record.reason)
    assert yard.build() == record
    assert set(yard.calls.writes) <= {"PutObject"}  # of the status file, once
    assert len(yard.executions()) == 1


def test_the_right_image_after_a_refusal_is_published(yard: Yard) -> None:
    """The manifest was right all along, and its execution's name is taken: the new run has a name of its own, once."""
    yard.put("disk.img", b"x" * len(CONTENT))
    yard.put_manifest()
    yard.ingest()
    refuse_build(yard)
    right = yard.put("disk.img", CONTENT)
    for _ in range(3):
        upload = yard.room.arrived(f"{BUILD.folder}/disk.img")
        assert upload is not None
        assert upload.state is UploadState.ACCEPTED
    record = yard.build()
    assert record.state is BuildState.RECORDED
    assert record.files[0].version_id == right
    first = BUILD.execution_name(record.digest)
    assert len(yard.executions()) == 2
    assert all(name.startswith(first) and len(name) <= 80 for name in yard.executions())


# --- Faults that are not the builder's


def test_a_missing_keyring_is_the_operator_s_fault(yard: Yard) -> None:
    """The uploader is told that the build waits, the operator by the error; with the keyring there the next look takes it."""
    yard.s3.delete_object(Bucket="work", Key=KEYRING_KEY)
    yard.put_build()
    with pytest.raises(SetupWrong, match=r"s3://work/keyrings/builders\.gpg"):
        yard.ingest()
    status = yard.status()
    assert status is not None
    assert status["state"] == "waiting"
    assert "operator" in status["reason"]
    yard.s3.put_object(Bucket="work", Key=KEYRING_KEY, Body=yard.builder.public)
    assert yard.ingest().state is UploadState.ACCEPTED


def test_a_bucket_without_versions_is_the_operator_s_fault(yard: Yard) -> None:
    """Without them nothing can be pinned."""
    yard.s3.put_bucket_versioning(Bucket="builds", VersioningConfiguration={"Status": "Suspended"})
    yard.s3.put_object(Bucket="builds", Key=KEY, Body=b"")
    with pytest.raises(SetupWrong, match="switch versioning on"):
        yard.ingest()


def test_a_key_that_was_added_later_heals_the_upload(yard: Yard, stranger: Key) -> None:
    """The next event finds it."""
    yard.put("disk.img", CONTENT)
    yard.put_manifest(stranger.clearsign(examples.manifest()))
    refused(yard)
    yard.s3.put_object(Bucket="work", Key=KEYRING_KEY, Body=yard.builder.public + stranger.public)
    assert yard.ingest().state is UploadState.ACCEPTED
    assert yard.build().signer == stranger.fingerprint


class Dying:
    """A client that dies at the n-th call over all clients that share the counter, before or after it took effect."""

    def __init__(self, client: aws.Client, fuse: list[int], after: bool) -> None:
        self.client, self.fuse, self.after = client, fuse, after
        self.region = client.region

    def __getattr__(self, action: str) -> Any:
        real = getattr(self.client, action)
        if action == "pages":
            return real

        def call(**parameters: Any) -> Any:
            self.fuse[0] -= 1
            if self.fuse[0] == 0 and not self.after:
                raise CloudBusy("died before the call")
            try:
                return real(**parameters)
            finally:
                if self.fuse[0] == 0:
                    raise CloudBusy("died after the call")

        return call


def dying(yard: Yard, number: int, *, after: bool = False) -> Ingest:
    """The room, dying at its n-th call."""
    fuse = [number]
    index = Index(yard.index.table, Dying(yard.index.client, fuse, after), yard.index.now)  # type: ignore[arg-type]
    clients: Any = {name: Dying(getattr(yard.room, name), fuse, after) for name in ("s3", "states")}
    return replace(yard.room, index=index, **clients)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_any_call_is_healed_by_running_again(yard: Yard, after: bool) -> None:
    """Before or after the call took effect; the index, the status and the executions are those of an undisturbed run."""
    yard.put_build()
    yard.calls.clear()
    yard.ingest()
    count = len(yard.calls) - yard.calls.count("Query")  # which come in pages, and do not die here
    undisturbed = (yard.build(), yard.index.upload(KEY), yard.status(), yard.executions())
    for number in range(1, count + 1):
        _forget(yard)
        with pytest.raises(CloudBusy, match="died"):
            dying(yard, number, after=after).ingest(KEY)
        yard.ingest()
        assert (yard.build(), yard.index.upload(KEY), yard.status(), yard.executions()) == undisturbed, f"call {number}"


def _forget(yard: Yard) -> None:
    """Take the index and the state machine back to before the upload."""
    for item in yard.index.client.scan(TableName="index")["Items"]:
        yard.index.client.delete_item(TableName="index", Key={name: item[name] for name in ("pk", "sk")})
    yard.s3.delete_object(Bucket="builds", Key=f"{BUILD.folder}/{STATUS_NAME}")
    machine = yard.states.describe_state_machine(stateMachineArn=yard.room.state_machine)
    yard.states.delete_state_machine(stateMachineArn=yard.room.state_machine)
    yard.states.create_state_machine(**{name: machine[name] for name in ("name", "definition", "roleArn")})


# --- The sweep


def test_the_sweep_finds_what_events_lost(yard: Yard) -> None:
    """And leaves alone what has been looked at."""
    yard.put_build()
    for folder in ("good", "bad"):
        yard.put("disk.img", CONTENT, folder)
    yard.put_manifest(folder="good", serial="20261121")
    yard.put_manifest(b"not signed", folder="bad")
    yard.ingest()
    swept = yard.room.sweep()
    assert {upload.key: upload.state for upload in swept.looked_at} == {
        "good/build.sjson": UploadState.ACCEPTED,
        "bad/build.sjson": UploadState.REFUSED,
    }
    assert len(yard.executions()) == 2
    yard.calls.clear()
    assert yard.room.sweep().looked_at == ()
    assert yard.calls.writes == []


def test_the_sweep_looks_at_the_newest_version(yard: Yard) -> None:
    """Of a manifest that was replaced, whose second event was lost."""
    yard.put_build(colour="blue")
    yard.ingest()
    yard.put_manifest()
    (upload,) = yard.room.sweep().looked_at
    assert upload.state is UploadState.ACCEPTED


def test_the_sweep_ignores_what_was_deleted(yard: Yard) -> None:
    """A manifest that its builder took back."""
    yard.put_build()
    yard.s3.delete_object(Bucket="builds", Key=KEY)
    assert yard.room.sweep().looked_at == ()


def test_the_sweep_looks_again_at_what_waits(yard: Yard) -> None:
    """The event of the image may be the one that was lost."""
    yard.put_manifest()
    yard.ingest()
    yard.put("disk.img", CONTENT)
    (upload,) = yard.room.sweep().looked_at
    assert upload.state is UploadState.ACCEPTED


def test_the_sweep_starts_what_was_recorded_and_never_started(yard: Yard) -> None:
    """After a while: an ingest that is still under way starts it itself."""
    yard.put_build()
    states = Dying(yard.states, [1], after=False)
    with pytest.raises(CloudBusy):
        replace(yard.room, states=states).ingest(KEY)  # type: ignore[arg-type]
    assert yard.room.sweep().started == ()
    yard.now = f"2026-11-20T10:{GRACE // 60 + 1:02}:00Z"
    assert [record.id for record in yard.room.sweep().started] == [BUILD]
    assert len(yard.executions()) == 1
    yard.room.sweep()
    assert len(yard.executions()) == 1
    yard.index.set_build(BUILD, state=BuildState.PUBLISHING)
    assert yard.room.sweep().started == ()


def test_one_manifest_s_trouble_does_not_stop_the_sweep(yard: Yard) -> None:
    """The others are taken in, then the trouble is told."""
    for folder in ("a", "b", "c"):
        yard.put("disk.img", CONTENT, folder)
        yard.put_manifest(folder=folder, serial=f"20261120.{ord(folder)}")

    def unreachable(params: dict[str, Any], **_: Any) -> None:
        if params.get("Key", "").startswith("b/"):
            raise EndpointConnectionError(endpoint_url="https://s3")

    yard.s3.raw.meta.events.register("provide-client-params.s3.HeadObject", unreachable)
    with pytest.raises(CloudBusy, match="head_object"):
        yard.room.sweep()
    assert len(yard.executions()) == 2


# --- The status file


def test_the_status_names_every_region(yard: Yard) -> None:
    """When a manifest comes again for a build that is under way."""
    yard.put_build()
    yard.ingest()
    yard.index.plan(BUILD, {"us-east-1": PublicationState.PLANNED, "eu-west-1": PublicationState.SKIPPED})
    yard.index.set_build(BUILD, state=BuildState.PUBLISHING)
    yard.put("disk.img", CONTENT, "copy")
    yard.put("build.sjson", yard.s3.get_object(Bucket="builds", Key=KEY)["Body"].read(), "copy")
    yard.room.ingest("copy/build.sjson")
    body = yard.s3.get_object(Bucket="builds", Key=f"copy/{STATUS_NAME}")["Body"].read()
    status = json.loads(body)
    assert status["state"] == "publishing"
    assert list(status["regions"]) == ["eu-west-1", "us-east-1"]
    assert status["regions"]["us-east-1"] == {"state": "planned", "image_id": "", "reason": ""}


def test_a_status_file_of_somebody_else_is_replaced(yard: Yard) -> None:
    """Whatever a builder put there."""
    for junk in (b"junk", b"[]", b'{"time": 5}'):
        yard.put(STATUS_NAME, junk)
        yard.put_manifest()
        yard.ingest()
        status = yard.status()
        assert status is not None
        assert status["state"] == "waiting"
