"""The records of the index as values, without I/O.

Sort keys and attributes are made to be read in the DynamoDB console::

    pk       sk                                                                what
    daily    com.example.cloud:server:24.04:amd64/20261120                     a build
    daily    com.example.cloud:server:24.04:amd64/20261120/us-east-1           its publication in one Region
    #uploads com/example.cloud/server/24.04/amd64/daily/20261120/build.sjson   what became of an uploaded manifest
    #streams daily                                                             a stream that has builds
    #streams #generation                                                       the counter of the public files
    #streams #refresh                                                          touched to have the public files signed anew
    #lineage com.example.cloud:server:24.04:amd64/us-east-1                    the snapshot that the next build chains to
    #rollouts 24.04.1                                                          a release, or a withdrawal, of some builds
    #history com.example.cloud:server:24.04:amd64/daily/20261120/2026-…        something that was done with the build

A stream is one partition, so that the public files are rendered from a consistent read (a secondary index would lag).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chalicelib.names import BuildId


class BuildState(StrEnum):
    """Where a build as a whole stands."""

    RECORDED = "recorded"  # accepted: signature, schema and files are there
    PUBLISHING = "publishing"  # its files are verified, Regions are being worked on
    STAGED = "staged"  # held: every Region is staged or has failed, and nobody has released it
    PUBLIC = "public"  # released, and public in at least one Region
    FAILED = "failed"  # no Region could be served
    WITHDRAWN = "withdrawn"  # taken back everywhere, for a reason
    REFUSED = "refused"  # its files do not match its manifest; nothing was created


class PublicationState(StrEnum):
    """Where one build stands in one Region."""

    PLANNED = "planned"
    WRITING = "writing"
    REGISTERED = "registered"  # the AMI has an id; it may still be pending
    STAGED = "staged"  # available, checked against the manifest, private
    PUBLIC = "public"
    WITHDRAWN = "withdrawn"  # taken back for a reason: out of the public files, its permissions removed after that
    FAILED = "failed"  # with a reason; a retry goes on from what is there
    SKIPPED = "skipped"  # an opt-in Region that the account has not enabled


class Method(StrEnum):
    """How a Region comes to its AMI."""

    WRITE = "write"  # blocks are written into a snapshot of the Region's own, and the AMI is registered from it
    COPY = "copy"  # the home Region's AMI is copied


@dataclass(frozen=True)
class PinnedFile:
    """One file of a build, pinned to the object version that was there when the build was recorded."""

    path: str
    key: str
    version_id: str
    size: int


@dataclass(frozen=True)
class BuildRecord:
    """One build as recorded at ingest.

    ``manifest`` is the signed JSON as parsed (see :mod:`chalicelib.builds.manifest`), ``digest`` the SHA-256 in hex of the
    signed text, ``signer`` the fingerprint of the key that signed it.  Times are ISO 8601 in UTC with a ``Z``.
    """

    id: BuildId
    digest: str
    manifest: dict[str, Any]
    manifest_key: str
    manifest_version: str
    signer: str
    files: tuple[PinnedFile, ...]
    created: str
    updated: str
    state: BuildState = BuildState.RECORDED
    reason: str = ""
    #: When and by whom the build was released (for a stream with ``release = "at-once"``: by its policy); empty while held.
    released_at: str = ""
    released_by: str = ""
    #: When the build's files became downloadable; empty before.
    downloads_at: str = ""
    #: The size of the disk that the image file holds, in bytes; 0 until somebody has looked.
    disk_size: int = 0
    #: Who works on letting it out or taking it back: the name of a release or of a withdrawal; empty when nobody does.
    claimed_by: str = ""


@dataclass(frozen=True)
class Parent:
    """The snapshot that another one is chained to: what is not written there is read here."""

    snapshot_id: str
    #: The build whose disk it holds: its serial, and its manifest's digest, by which its blocks' digests are found.
    serial: str
    digest: str


@dataclass(frozen=True)
class Publication:
    """One build in one Region."""

    build: BuildId
    region: str
    updated: str
    state: PublicationState = PublicationState.PLANNED
    reason: str = ""
    snapshot_id: str = ""
    image_id: str = ""
    #: When the Region's turn to go public came, with the build's stream or with its wave; empty while it is held.
    released_at: str = ""
    #: Counts replacements of a snapshot or AMI that failed; part of client tokens, since a token is good for one try only.
    attempt: int = 0
    #: When each state was first reached, by the state's name.
    times: dict[str, str] = field(default_factory=dict)
    #: None until work on the Region begins.
    method: Method | None = None
    parent: Parent | None = None
    #: How many blocks were written into the snapshot, of how many that the disk has; both 0 until it is sealed.
    blocks_written: int = 0
    blocks: int = 0


@dataclass(frozen=True)
class Lineage:
    """The newest verified snapshot of a product in one Region: what the next build chains its own to."""

    product: str
    region: str
    parent: Parent
    #: The size of its disk in bytes, and whether blocks of zeros were left out of it.
    disk_size: int
    zeros_skipped: bool
    updated: str


class UploadState(StrEnum):
    """What became of an uploaded manifest."""

    WAITING = "waiting"  # a file it names has not arrived
    REFUSED = "refused"
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class Upload:
    """One version of a manifest object and what ingest said of it."""

    key: str
    version_id: str
    state: UploadState
    reason: str
    updated: str
    build: str = ""


class Kind(StrEnum):
    """What a rollout does with its builds."""

    RELEASE = "release"
    WITHDRAWAL = "withdrawal"


class RolloutState(StrEnum):
    """Where a rollout stands."""

    SCHEDULED = "scheduled"  # it starts by itself at its minute
    RUNNING = "running"
    PAUSED = "paused"  # between two waves, until somebody continues it
    WAITING = "waiting"  # at a gate that a person has to open
    DONE = "done"
    FAILED = "failed"  # a gate failed or somebody aborted it: what became of its waves is said in its reason
    REFUSED = "refused"  # something stood in its way before it began


class Phase(StrEnum):
    """What is happening to the wave that a rollout is at."""

    READY = "ready"  # it comes next
    OPEN = "open"  # its Regions go public
    BAKE = "bake"  # it is watched
    GATE = "gate"  # it is asked whether all is well
    TAKE_BACK = "take-back"  # what is to be taken back is out of the public files, and out of caches soon
    CLOSE = "close"  # and is made private


@dataclass(frozen=True)
class Gate:
    """What must hold after a wave before the next one goes.

    ``kind`` is ``none``, ``approval`` (a person), ``alarm`` (the CloudWatch alarm ``target`` is not in ALARM), or ``function``
    (the Lambda function ``target`` answers ``{"healthy": true}``).
    """

    kind: str = "none"
    target: str = ""


@dataclass(frozen=True)
class Wave:
    """Regions that go public together; then ``bake`` seconds go by, and the gate is asked."""

    name: str
    regions: tuple[str, ...]
    bake: int = 0
    gate: Gate = Gate()


@dataclass(frozen=True)
class Rollout:
    """Builds that go public together, in waves; or that are taken back together, all at once: one wave."""

    name: str
    kind: Kind
    builds: tuple[BuildId, ...]
    waves: tuple[Wave, ...]
    by: str
    created: str
    updated: str
    #: The minute at which the first wave goes; empty for at once.
    at: str = ""
    #: What goes back when a gate fails: the ``wave``, ``all`` waves, or ``nothing``.
    undo: str = "wave"
    state: RolloutState = RolloutState.RUNNING
    phase: Phase = Phase.READY
    #: The number of the wave that is under way or comes next, from 0.
    wave: int = 0
    #: When the phase began.
    since: str = ""
    #: Why it failed; of a withdrawal, why the builds are taken back.
    reason: str = ""
    #: What somebody asked for that the next look between two steps brings: ``pause`` or ``abort``.
    wish: str = ""
    #: Of a withdrawal: whether AMIs and snapshots are deleted as well.
    delete: bool = False
    #: Step Functions' token of the state that waits for a person; empty when none does.
    token: str = ""

    @property
    def title(self) -> str:
        """What people are told: ``release 24.04.1``."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Event:
    """Something that was done with a build: its history."""

    build: BuildId
    at: str
    what: str
    by: str
    reason: str = ""
