"""Releasing a build that was held."""

from __future__ import annotations

from chalicelib.errors import BuildRefused
from chalicelib.index.records import BuildRecord, BuildState, PublicationState
from chalicelib.index.table import Index
from chalicelib.names import BuildId

NOT_RELEASABLE = frozenset({BuildState.REFUSED, BuildState.RECORDED})


def begin(index: Index, build: BuildId, by: str) -> tuple[BuildRecord, list[str]]:
    """Record that ``by`` released the build.

    A Region that is staged later sees this and goes on to public by itself: it is recorded before the staged ones are
    listed, and a Region is recorded as staged before it looks.

    Returns:
        the build, and the Regions to make public now.

    Raises:
        BuildRefused: there is no such build, or none that can be released.
    """
    record = index.build(build)
    if record is None:
        raise BuildRefused(f"There is no build {build} in the index: upload it first.")
    if record.state in NOT_RELEASABLE:
        raise BuildRefused(f"The build {build} is {record.state} and cannot be released: {record.reason or 'wait for it'}")
    if not index.publications(build):  # they are planned once the files are verified, and nothing else is let out
        raise BuildRefused(f"The files of {build} were never verified, so that it cannot be released: retry the build first.")
    record = index.set_build(build, released_by=by)
    staged = [each.region for each in index.publications(build) if each.state is PublicationState.STAGED]
    return record, sorted(staged)
