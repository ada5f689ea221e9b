"""Taking an upload in: from a manifest in the builds bucket to a recorded build whose publication has started.

Events come twice, late, in any order, or never, so nothing here believes an event: each call looks at the manifest as it is
now, at the files beside it and at the index, and writes only what those do not say yet.  The order of the writes lets a run
that died anywhere be made again: build, status file, upload, execution.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from chalicelib import aws, openpgp
from chalicelib.builds import clearsigned
from chalicelib.builds.files import check_size
from chalicelib.builds.manifest import File, Manifest
from chalicelib.builds.status import write_status, write_upload_status
from chalicelib.errors import BadManifest, BroadsideError, BuildRefused, CloudRefused, FileMissing, SerialTaken, SetupWrong
from chalicelib.index.records import BuildRecord, BuildState, PinnedFile, Upload, UploadState
from chalicelib.index.table import Index
from chalicelib.names import MANIFEST_NAME, STATUS_NAME, BuildId

#: Where the operator keeps the builders' public keys in the work bucket.
KEYRING_KEY = "keyrings/builders.gpg"

#: Seconds after which a recorded build whose publication has not begun is started by the sweep: an ingest that is still
#: under way takes less.
GRACE = 300


@dataclass(frozen=True)
class _Object:
    """One version of an object, as S3 describes it."""

    key: str
    version_id: str
    size: int


@dataclass(frozen=True)
class Swept:
    """What a sweep found: manifests that it looked at, and builds that it tried to start."""

    looked_at: tuple[Upload, ...]
    started: tuple[BuildRecord, ...]


@dataclass(frozen=True)
class Ingest:
    """The clients, the index and the names that taking an upload in needs.

    Whatever the builder did wrong is written down and returned.  What raises is the cloud's or the operator's fault, and
    worth another try:

    Raises:
        CloudBusy, CloudRefused: from S3, DynamoDB or Step Functions.
        SetupWrong: there is no keyring, no gpg, or no versioning.
    """

    index: Index
    s3: aws.Client
    states: aws.Client
    builds_bucket: str
    work_bucket: str
    state_machine: str

    def arrived(self, key: str) -> Upload | None:
        """An object has arrived: ingest its manifest, or the one that may have waited for it.

        Returns:
            what became of the manifest; None if there is none in the object's folder.
        """
        folder, slash, name = key.rpartition("/")
        return None if name == STATUS_NAME else self.ingest(f"{folder}{slash}{MANIFEST_NAME}")

    def ingest(self, key: str) -> Upload | None:
        """Ingest the newest version of the manifest ``key``, unless it is published already.

        Returns:
            what became of it; None if it is not there (any more).
        """
        manifest = self._head(key)
        if manifest is None:
            return None
        known = self.index.upload(key, manifest.version_id)
        if known is not None and known.state is UploadState.ACCEPTED and self._goes_on(known):
            return known
        return self._take_in(manifest)

    def sweep(self) -> Swept:
        """Ingest the manifests whose event was lost or that wait, and start what was recorded and never started.

        One manifest's trouble does not keep the others waiting; the first is raised at the end.
        """
        known = {(upload.key, upload.version_id): upload.state for upload in self.index.uploads()}
        open_keys = [
            manifest.key
            for manifest in self._manifests()
            if known.get((manifest.key, manifest.version_id), UploadState.WAITING) is UploadState.WAITING
        ]
        looked_at: list[Upload] = []
        started: list[BuildRecord] = []
        trouble: list[BroadsideError] = []
        for key in open_keys:
            try:
                upload = self.ingest(key)
            except BroadsideError as error:
                trouble.append(error)
            else:
                looked_at += [upload] if upload else []
        for record in self._never_started():
            try:
                self._start(record)
            except BroadsideError as error:
                trouble.append(error)
            else:
                started.append(record)
        if trouble:
            raise trouble[0]
        return Swept(tuple(looked_at), tuple(started))

    def _goes_on(self, accepted: Upload) -> bool:
        """See to it that an accepted build is on its way.

        Returns:
            False if it is to be judged again: it was refused since, for what its files hold, and the right ones may have come;
            or somebody took it out of the index.
        """
        record = self.index.build(BuildId.parse(accepted.build))
        if record is None or record.state is BuildState.REFUSED:
            return False
        if record.state is BuildState.RECORDED:
            self._start(record)
        return True

    def _take_in(self, manifest: _Object) -> Upload:
        """Judge the manifest, write down what became of it where that is news, and start the publication."""
        try:
            upload, record = self._judge(manifest)
        except SetupWrong as error:  # the operator learns of it by the log and an alarm, the uploader here
            reason = f"Waiting for the operator of this installation. {error}"
            self._tell(Upload(manifest.key, manifest.version_id, UploadState.WAITING, reason, updated=self.index.now()))
            raise
        if record is None:
            self._tell(upload)
            return upload
        told = replace(record, manifest_key=manifest.key, manifest_version=manifest.version_id)
        write_status(self.s3, self.builds_bucket, told, self.index.publications(record.id))
        self.index.put_upload(upload)
        if record.state is BuildState.RECORDED:
            self._start(record)
        return upload

    def _tell(self, upload: Upload) -> None:
        write_upload_status(self.s3, self.builds_bucket, upload)
        self.index.put_upload(upload)

    def _judge(self, manifest: _Object) -> tuple[Upload, BuildRecord | None]:
        """What is to be said of the upload, and the recorded build if it is accepted."""
        upload = Upload(manifest.key, manifest.version_id, UploadState.REFUSED, reason="", updated=self.index.now())
        try:
            data = self._read(manifest)
            clearsigned.check(data)
            verified = openpgp.verify_clearsigned(data, self._keyring())
            parsed = Manifest.parse(verified.text)
            upload = replace(upload, build=str(parsed.id))
            record = self._record(parsed, manifest, hashlib.sha256(data).hexdigest(), verified.fingerprint)
        except BuildRefused as error:
            return replace(upload, reason=str(error)), None
        except FileMissing as error:
            return replace(upload, state=UploadState.WAITING, reason=str(error)), None
        return replace(upload, state=UploadState.ACCEPTED), record

    def _read(self, manifest: _Object) -> bytes:
        if manifest.size > clearsigned.MAX_BYTES:  # before it is downloaded
            raise BadManifest(
                f"The manifest is too large: {manifest.size:,} bytes where {clearsigned.MAX_BYTES:,} are allowed."
            )
        answer = self.s3.get_object(Bucket=self.builds_bucket, Key=manifest.key, VersionId=manifest.version_id)
        return aws.body(answer)

    def _keyring(self) -> bytes:
        try:
            return aws.body(self.s3.get_object(Bucket=self.work_bucket, Key=KEYRING_KEY))
        except CloudRefused as error:
            if error.code == "NoSuchKey":
                raise SetupWrong(
                    f"There is no builders' keyring: put their public keys at s3://{self.work_bucket}/{KEYRING_KEY}."
                ) from error
            raise

    def _record(self, manifest: Manifest, object_: _Object, digest: str, signer: str) -> BuildRecord:
        """Record the build, or find it recorded with the same content.

        A manifest that was signed anew has another digest, but not another content.
        """
        content = manifest.model_dump(mode="json")
        stored = self.index.build(manifest.id)
        if stored is not None and stored.state is not BuildState.REFUSED:
            if stored.digest == digest or stored.manifest == content:
                return stored
            raise SerialTaken(
                f"{manifest.id} was recorded on {stored.created} with different content: upload this one under a new serial."
            )
        now = self.index.now()
        recorded = self.index.record_build(
            BuildRecord(
                id=manifest.id,
                digest=digest,
                manifest=content,
                manifest_key=object_.key,
                manifest_version=object_.version_id,
                signer=signer,
                files=self._pin(manifest, object_.key),
                created=now,
                updated=now,
            )
        )
        if recorded.state is BuildState.REFUSED:  # and nothing has changed since
            raise BuildRefused(recorded.reason)
        return recorded

    def _pin(self, manifest: Manifest, manifest_key: str) -> tuple[PinnedFile, ...]:
        """Pin every file to the version that lies beside the manifest now.

        Raises:
            FileMissing: some are not there; the sentence names them all.
            FileMismatch: one has another size.
        """
        folder = manifest_key.removesuffix(MANIFEST_NAME)
        found = [(file, self._head(folder + file.path)) for file in manifest.files]
        missing = [file.path for file, there in found if there is None]
        if missing:
            raise FileMissing(f"Waiting for {', '.join(missing)} beside the manifest: upload what is missing.")
        return tuple(self._pinned(file, there) for file, there in found if there is not None)

    @staticmethod
    def _pinned(file: File, there: _Object) -> PinnedFile:
        check_size(file, there.size)
        return PinnedFile(path=file.path, key=there.key, version_id=there.version_id, size=there.size)

    def _head(self, key: str) -> _Object | None:
        """The newest version of an object; None if there is none."""
        try:
            head = self.s3.head_object(Bucket=self.builds_bucket, Key=key)
        except CloudRefused as error:
            if error.code in ("404", "NoSuchKey"):
                return None
            raise
        version = head.get("VersionId", "null")
        if version == "null":
            raise SetupWrong(
                f"The bucket {self.builds_bucket} keeps no versions, so no file can be pinned: switch versioning on."
            )
        return _Object(key, str(version), int(head["ContentLength"]))

    def _manifests(self) -> list[_Object]:
        versions = self.s3.pages("list_object_versions", "Versions", Bucket=self.builds_bucket)
        return [
            _Object(each["Key"], each["VersionId"], each["Size"])
            for each in versions
            if each["IsLatest"] and each["Key"].rpartition("/")[2] == MANIFEST_NAME
        ]

    def _never_started(self) -> list[BuildRecord]:
        return [
            record
            for stream in self.index.streams()
            for record in self.index.builds(stream)
            if record.state is BuildState.RECORDED and self.index.seconds_since(record.updated) > GRACE
        ]

    def _start(self, record: BuildRecord) -> None:
        """Start the publication, once: while it runs the same call does nothing, and afterwards its name is taken.

        A name that is taken while the build still stands at "recorded" belongs to a run that ended before this recording
        (its files were refused, and better ones have come): the new run is named after the files as well.
        """
        name = record.id.execution_name(record.digest)
        if self._start_execution(name, record):
            return
        now = self.index.build(record.id)
        if now is not None and now.state is BuildState.RECORDED and now.digest == record.digest:
            pins = "".join(f"{file.key} {file.version_id}\n" for file in now.files)
            self._start_execution(f"{name}-{hashlib.sha256(pins.encode()).hexdigest()[:8]}", now)

    def _start_execution(self, name: str, record: BuildRecord) -> bool:
        """Start it unless it runs; False if an execution of that name has ended."""
        payload = {"build": str(record.id), "digest": record.digest, "files": [file.path for file in record.files]}
        try:
            self.states.start_execution(stateMachineArn=self.state_machine, name=name, input=json.dumps(payload))
        except CloudRefused as error:
            if error.code == "ExecutionAlreadyExists":
                return False
            raise
        return True
