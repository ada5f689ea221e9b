"""What may follow what: decides over the records of the index, without I/O.

Writers come late and twice.  So every writer says where it has arrived, and the rules below decide what the record becomes:
what leads on is taken, what lies behind is ignored, and what can never be is an error.  What a writer repeats changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

from chalicelib.errors import BuildRefused, Claimed, SetupWrong
from chalicelib.index.records import (
    BuildRecord,
    BuildState,
    Lineage,
    Method,
    Parent,
    Publication,
    PublicationState,
    Upload,
    UploadState,
)

_P = PublicationState

#: The states of a publication that a state leads on to, within one attempt.  A higher attempt may begin in any of them.
#: A writer that is not leading on is late: nothing takes a publication back but :func:`take_back`, which says so.
PUBLICATION_TRANSITIONS: Mapping[PublicationState, frozenset[PublicationState]] = {
    _P.SKIPPED: frozenset({_P.PLANNED}),
    _P.PLANNED: frozenset({_P.WRITING, _P.REGISTERED, _P.STAGED, _P.PUBLIC, _P.FAILED}),
    _P.WRITING: frozenset({_P.REGISTERED, _P.STAGED, _P.PUBLIC, _P.FAILED}),
    _P.REGISTERED: frozenset({_P.STAGED, _P.PUBLIC, _P.FAILED}),
    _P.STAGED: frozenset({_P.PUBLIC, _P.FAILED}),
    _P.FAILED: frozenset({_P.PLANNED, _P.WRITING, _P.REGISTERED, _P.STAGED, _P.PUBLIC}),
    _P.PUBLIC: frozenset(),
    _P.WITHDRAWN: frozenset(),
}

_B = BuildState

#: The same for builds.  A refused build stays refused until another upload takes its place.
BUILD_TRANSITIONS: Mapping[BuildState, frozenset[BuildState]] = {
    _B.RECORDED: frozenset({_B.PUBLISHING, _B.STAGED, _B.PUBLIC, _B.FAILED, _B.REFUSED}),
    _B.PUBLISHING: frozenset({_B.STAGED, _B.PUBLIC, _B.FAILED, _B.REFUSED, _B.WITHDRAWN}),
    _B.STAGED: frozenset({_B.PUBLIC, _B.FAILED, _B.WITHDRAWN}),
    _B.FAILED: frozenset({_B.PUBLISHING, _B.STAGED, _B.PUBLIC, _B.REFUSED, _B.WITHDRAWN}),
    _B.PUBLIC: frozenset({_B.STAGED, _B.WITHDRAWN}),  # when every wave of its release was undone, and when it is withdrawn
    _B.REFUSED: frozenset(),
    _B.WITHDRAWN: frozenset(),
}


#: The time under which a publication that was taken back notes that its AMI is private.
PRIVATE = "private"


class Facts(TypedDict, total=False):
    """What a writer may know of a publication; what it does not name stays as it is."""

    snapshot_id: str
    image_id: str
    attempt: int
    method: Method | None
    parent: Parent | None
    blocks_written: int
    blocks: int


def advance(
    stored: Publication, state: PublicationState, *, now: str, reason: str = "", **facts: Unpack[Facts]
) -> Publication:
    """What the publication becomes when a writer says that it has arrived at ``state``.

    ``stored`` itself is returned where nothing changes: the writer is late, or only repeats.

    Args:
        now: ISO 8601, the time of the change.
        reason: the sentence that goes with FAILED; other states have none.
        facts: ``attempt`` is the one that the writer belongs to, if it is not the one that is stored; an empty id forgets
            the one that is there.  Method and parent are chosen once in an attempt, by whoever comes first: which blocks are
            written must not be decided by another parent than the one that the snapshot has.

    Raises:
        SetupWrong: the Region is skipped: what the account has not enabled cannot be worked on.
    """
    if stored.state is _P.SKIPPED and state is not _P.PLANNED:
        raise SetupWrong(
            f"{stored.build} was not planned for {stored.region}, which the account has not enabled: "
            "enable the Region, then retry the build."
        )
    if not _leads_on(stored, state, facts.get("attempt", stored.attempt)):
        return stored
    reason = reason if state is _P.FAILED else ""
    if stored.method is not None and facts.get("attempt", stored.attempt) == stored.attempt:
        facts["method"], facts["parent"] = stored.method, stored.parent
    wanted = replace(stored, state=state, reason=reason, times={str(state): now} | stored.times, **facts)
    return stored if wanted == stored else replace(wanted, updated=now)


def _leads_on(stored: Publication, state: PublicationState, attempt: int) -> bool:
    if stored.state in (_P.PUBLIC, _P.WITHDRAWN) or attempt < stored.attempt:
        return False
    if state is _P.PUBLIC and not stored.released_at:  # its wave was undone meanwhile
        return False
    return attempt > stored.attempt or state is stored.state or state in PUBLICATION_TRANSITIONS[stored.state]


def open_region(stored: Publication, *, now: str) -> Publication:
    """What the publication becomes when its turn to go public has come; ``stored`` where it came before, or never will."""
    if stored.released_at or stored.state in (_P.SKIPPED, _P.WITHDRAWN):
        return stored
    times = {name: at for name, at in stored.times.items() if name != PRIVATE}
    return replace(stored, released_at=now, times=times, updated=now)


def take_back(stored: Publication, state: PublicationState, *, now: str, reason: str) -> Publication:
    """What the publication becomes when it is taken back: STAGED after the failure of a wave, WITHDRAWN for good.

    The Region's turn is over with it, so that nobody who is late makes it public again.
    """
    held = state is _P.STAGED
    if stored.state in (_P.SKIPPED, _P.WITHDRAWN) or (held and not stored.released_at):
        return stored
    if held and stored.state is not _P.PUBLIC:  # it has not got that far, and goes on being made
        return replace(stored, released_at="", updated=now)
    times = {name: at for name, at in stored.times.items() if name != PRIVATE} | {str(state): now}
    return replace(stored, state=state, reason="" if held else reason, released_at="", times=times, updated=now)


def made_private(stored: Publication, *, now: str) -> Publication:
    """The publication when nobody else has its AMI any more; only what was taken back is."""
    if stored.released_at or PRIVATE in stored.times:
        return stored
    return replace(stored, times=stored.times | {PRIVATE: now}, updated=now)


def claim(stored: BuildRecord, who: str, *, now: str) -> BuildRecord:
    """The build as ``who`` works on letting it out or taking it back.

    Raises:
        Claimed: somebody else does.
    """
    if stored.claimed_by == who:
        return stored
    if stored.claimed_by:
        raise Claimed(f"{stored.id} is being worked on by the {stored.claimed_by}: wait for its end, or abort it.")
    return replace(stored, claimed_by=who, updated=now)


def free(stored: BuildRecord, who: str, *, now: str) -> BuildRecord:
    """The build when ``who`` has done with it."""
    return replace(stored, claimed_by="", updated=now) if stored.claimed_by == who else stored


def set_build(
    stored: BuildRecord,
    *,
    now: str,
    state: BuildState | None = None,
    reason: str | None = None,
    released_by: str | None = None,
    downloads: bool | None = None,
    disk_size: int = 0,
) -> BuildRecord:
    """What the build becomes; ``stored`` itself where nothing changes.

    A late state is ignored together with its reason; a release, the opening of downloads and the size of the disk are recorded
    once, by whoever comes first.

    Raises:
        BuildRefused: a refused build is to be released or opened for download.
    """
    if stored.state is _B.REFUSED and ((released_by and not stored.released_at) or downloads):
        raise BuildRefused(f"The build {stored.id} is refused and cannot be released: {stored.reason}")
    wanted = stored
    if state is None or state is stored.state or state in BUILD_TRANSITIONS[stored.state]:
        wanted = replace(
            wanted, state=stored.state if state is None else state, reason=stored.reason if reason is None else reason
        )
    if released_by and not stored.released_at:
        wanted = replace(wanted, released_at=now, released_by=released_by)
    if downloads and not stored.downloads_at and wanted.state is not _B.WITHDRAWN:
        wanted = replace(wanted, downloads_at=now)
    if downloads is False:  # it is taken back
        wanted = replace(wanted, downloads_at="", released_at="", released_by="")
    if disk_size and not stored.disk_size:
        wanted = replace(wanted, disk_size=disk_size)
    return stored if wanted == stored else replace(wanted, updated=now)


def set_upload(stored: Upload | None, wanted: Upload) -> Upload:
    """What becomes of the record of an upload.

    Another version of the object begins anew.  Of the same version, one that was accepted does not wait again: that is the
    word of an event that came late.
    """
    if stored is None or stored.version_id != wanted.version_id:
        return wanted
    if stored.state is UploadState.ACCEPTED and wanted.state is UploadState.WAITING:
        return stored
    return stored if replace(wanted, updated=stored.updated) == stored else wanted


def follow(stored: Lineage | None, wanted: Lineage) -> Lineage:
    """What the next build of the product chains to: the newest serial, whichever build was verified last."""
    if stored is not None and (_age(stored) > _age(wanted) or replace(wanted, updated=stored.updated) == stored):
        return stored
    return wanted


def _age(lineage: Lineage) -> tuple[int, ...]:
    return tuple(int(part) for part in lineage.parent.serial.split("."))
