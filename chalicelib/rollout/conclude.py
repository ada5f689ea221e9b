"""Recording what became of a build, in the index and where its uploader looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib import aws
from chalicelib.builds.status import write_status
from chalicelib.errors import BuildRefused
from chalicelib.index.records import BuildRecord, BuildState, PublicationState, Upload, UploadState
from chalicelib.index.table import Index
from chalicelib.rollout import outcome

#: States of a publication for which nothing was created yet.
UNTOUCHED = frozenset({PublicationState.PLANNED, PublicationState.SKIPPED})

#: States of a publication that a failure of the whole build does not touch.
AT_REST = frozenset({PublicationState.STAGED, PublicationState.PUBLIC, PublicationState.SKIPPED, PublicationState.FAILED})


@dataclass(frozen=True)
class Outcome:
    """Writes down how a build ended."""

    index: Index
    s3: aws.Client
    builds_bucket: str

    def conclude(self, record: BuildRecord) -> BuildRecord:
        """All Regions have come to rest: the build gets the state that follows from theirs."""
        publications = self.index.publications(record.id)
        released = bool(record.released_at)
        state = outcome.build_state(publications, released=released)
        if state is BuildState.WITHDRAWN:  # which says why, and is more than the sum of its Regions
            self._tell(record)
            return record
        reason = outcome.reason(publications, downloads_missing=state is BuildState.PUBLIC and not record.downloads_at)
        after = self.index.set_build(record.id, state=state, reason=reason)
        self._tell(after)
        return after

    def fail_region(self, record: BuildRecord, region: str, error: Mapping[str, Any]) -> None:
        """One Region failed; it alone."""
        self.index.advance(record.id, region, PublicationState.FAILED, reason=outcome.sentence(error))

    def fail_build(self, record: BuildRecord, error: Mapping[str, Any]) -> None:
        """The build failed before its Regions could be worked on, or was refused for what its files hold.

        What has left something in a Region is never refused: a refused build makes room for another one of its serial, which
        would know nothing of that.
        """
        reason = outcome.sentence(error)
        publications = self.index.publications(record.id)
        if error.get("Error") == BuildRefused.__name__ and all(each.state in UNTOUCHED for each in publications):
            after = self.index.set_build(record.id, state=BuildState.REFUSED, reason=reason)
            self.index.put_upload(
                Upload(
                    key=record.manifest_key,
                    version_id=record.manifest_version,
                    state=UploadState.REFUSED,
                    reason=reason,
                    updated=after.updated,
                    build=str(record.id),
                )
            )
        else:
            self._fail_unfinished(record, reason)
            after = self.index.set_build(record.id, state=BuildState.FAILED, reason=reason)
        self._tell(after)

    def give_up(self, record: BuildRecord, reason: str) -> BuildRecord:
        """Nobody works on the build any more: what is not at rest has failed, and the rest is summed up."""
        self._fail_unfinished(record, reason)
        return self.conclude(record)

    def _fail_unfinished(self, record: BuildRecord, reason: str) -> None:
        for publication in self.index.publications(record.id):
            if publication.state not in AT_REST:
                self.index.advance(record.id, publication.region, PublicationState.FAILED, reason=reason)

    def _tell(self, record: BuildRecord) -> None:
        write_status(self.s3, self.builds_bucket, record, self.index.publications(record.id))
