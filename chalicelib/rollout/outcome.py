"""What became of a build: the sum over its Regions, and the sentence for a failure.  No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib.index.records import BuildState, Publication, PublicationState

#: Errors whose message is a sentence for a person already (see chalicelib.errors).
OURS = frozenset({"BuildRefused", "CloudBusy", "CloudRefused", "FileMissing", "SetupWrong"})


def summary(publications: Iterable[Publication]) -> dict[str, int]:
    """How many Regions are in each state; states that no Region is in are left out."""
    return dict(sorted(Counter(str(publication.state) for publication in publications).items()))


def build_state(publications: Iterable[Publication], *, released: bool) -> BuildState:
    """The state of a build; PUBLISHING as long as there is no more to say than that some Region is still on its way."""
    states = {publication.state for publication in publications} - {PublicationState.SKIPPED}
    if PublicationState.PUBLIC in states:
        return BuildState.PUBLIC
    if PublicationState.STAGED in states and not released:
        return BuildState.STAGED
    if PublicationState.WITHDRAWN in states:
        return BuildState.WITHDRAWN
    if states - {PublicationState.FAILED}:  # a release may end before publishing does
        return BuildState.PUBLISHING
    return BuildState.FAILED


def reason(publications: Iterable[Publication], *, downloads_missing: bool = False) -> str:
    """What a person must know and do about a build that has come to rest; empty when all went well."""
    failed = sorted(each.region for each in publications if each.state is PublicationState.FAILED)
    told = []
    if failed:
        told.append(f"{len(failed)} of the Regions failed ({', '.join(failed)}): see their reasons, then retry the build.")
    if downloads_missing:
        told.append("The files could not be copied to the public bucket: see the log of ExposeFile, then retry the build.")
    return " ".join(told)


def sentence(error: Mapping[str, Any]) -> str:
    """What to tell a person about a state machine's ``{"Error", "Cause"}``.

    Lambda's Cause is JSON with ``errorMessage``; ours is a sentence, anything else is a bug whose traceback is in the log.
    """
    name, cause = str(error.get("Error", "")), str(error.get("Cause", ""))
    try:
        details = json.loads(cause)
        message = str(details.get("errorMessage", cause))
    except (ValueError, AttributeError):
        message = cause
    if name in OURS:
        return message
    return f"An unexpected error stopped this step ({name}: {message[:300]}); the function's log has more. Retry the build."
