"""What may follow what: any order, any repetition, one outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import BuildRefused, SetupWrong
from chalicelib.index import transitions
from chalicelib.index.records import BuildState, Lineage, Method, Parent, Publication, PublicationState, Upload, UploadState
from tests.index.values import BUILD, Clock, record

P = PublicationState
PLANNED = Publication(BUILD, "us-east-1", updated="2026-11-20T09:00:00Z", times={"planned": "2026-11-20T09:00:00Z"})

#: What one execution says of one Region, in its order.
CALLS: list[tuple[PublicationState, dict[str, Any]]] = [
    (P.WRITING, {}),
    (P.WRITING, {"snapshot_id": "snap-1"}),
    (P.REGISTERED, {"image_id": "ami-1"}),
    (P.STAGED, {"snapshot_id": "snap-1"}),
    (P.PUBLIC, {}),
]
FAILED = (P.FAILED, {"reason": "The quota of public AMIs is used up."})


def play(calls: list[tuple[PublicationState, dict[str, Any]]], start: Publication = PLANNED) -> Publication:
    clock, publication = Clock(), start
    for state, facts in calls:
        publication = transitions.advance(publication, state, now=clock(), **facts)
    return publication


def outcome(publication: Publication) -> tuple[Publication, set[str]]:
    """What counts of a publication: everything but when, and that it failed on the way."""
    return replace(publication, updated="", times={}), set(publication.times) - {"failed"}


@st.composite
def interleaved(draw: st.DrawFn) -> list[tuple[PublicationState, dict[str, Any]]]:
    """One whole execution among others that die or fail half-way, each call perhaps delivered again and late."""
    executions = [list(CALLS)]
    for _ in range(draw(st.integers(0, 3))):
        executions.append(CALLS[: draw(st.integers(0, len(CALLS)))] + draw(st.sampled_from([[], [FAILED]])))
    waiting = [iter(calls) for calls in executions]
    played: list[tuple[PublicationState, dict[str, Any]]] = []
    while waiting:
        execution: Iterator[tuple[PublicationState, dict[str, Any]]] = draw(st.sampled_from(waiting))
        call = next(execution, None)
        if call is None:
            waiting.remove(execution)
            continue
        played.append(call)
        if draw(st.booleans()):
            played.append(draw(st.sampled_from(played)))
    return played


@given(interleaved())
def test_any_interleaving_ends_like_the_undisturbed_run(calls: list[tuple[PublicationState, dict[str, Any]]]) -> None:
    """Executions in any order, with calls repeated and late, leave the record of one execution that was left alone."""
    assert outcome(play(calls)) == outcome(play(CALLS))


@given(st.lists(st.sampled_from(CALLS)))
def test_a_publication_never_goes_back(calls: list[tuple[PublicationState, dict[str, Any]]]) -> None:
    """Whatever comes in whatever order, the state only leads on while nothing fails."""
    order = [P.PLANNED, P.WRITING, P.REGISTERED, P.STAGED, P.PUBLIC]
    publication = PLANNED
    for state, facts in calls:
        after = transitions.advance(publication, state, now="2026-11-20T10:00:00Z", **facts)
        assert order.index(after.state) == max(order.index(publication.state), order.index(state))
        publication = after


def test_a_late_registration_does_not_unstage() -> None:
    """A `registered` that comes after `staged` is ignored with everything it says."""
    staged = play(CALLS[:4])
    assert transitions.advance(staged, P.REGISTERED, now="later", image_id="ami-other") is staged


def test_public_is_never_failed_by_a_late_writer() -> None:
    """Once it is public, no failure of another execution and no new attempt takes it back."""
    public = play(CALLS)
    assert play([FAILED], public) is public
    assert transitions.advance(public, P.PLANNED, now="later", image_id="", attempt=1) is public


@pytest.mark.parametrize("reached", range(5))
def test_a_failure_keeps_what_was_made(reached: int) -> None:
    """A failed publication still has its ids, and a retry goes on from them and forgets the reason."""
    before = play(CALLS[: reached + 1]) if reached < 4 else play(CALLS[:4])
    failed = play([FAILED], before)
    assert (failed.snapshot_id, failed.image_id) == (before.snapshot_id, before.image_id)
    assert failed.reason
    again = play(CALLS, failed)
    assert (again.state, again.reason) == (P.PUBLIC, "")


@pytest.mark.parametrize("state", [P.PLANNED, P.WRITING, P.REGISTERED, P.STAGED])
def test_a_new_attempt_begins_anew_once(state: PublicationState) -> None:
    """A dead AMI sends the publication back under a higher attempt; the second to say so changes nothing."""
    before = replace(PLANNED, state=state, image_id="ami-dead")
    first = transitions.advance(before, P.PLANNED, now="t1", image_id="", attempt=1)
    assert (first.state, first.image_id, first.attempt) == (P.PLANNED, "", 1)
    registered = transitions.advance(first, P.REGISTERED, now="t2", image_id="ami-new")
    assert transitions.advance(registered, P.PLANNED, now="t3", image_id="", attempt=1) is registered
    assert transitions.advance(registered, P.REGISTERED, now="t3", image_id="ami-dead", attempt=0) is registered


def test_the_same_again_changes_nothing() -> None:
    """A repeated call returns the very record, so that nothing is written."""
    publication = PLANNED
    for state, facts in CALLS:
        publication = transitions.advance(publication, state, now="t1", **facts)
        assert transitions.advance(publication, state, now="t2", **facts) is publication


def test_times_tell_the_first_time() -> None:
    """`times` keeps when each state was first reached, through failures and retries."""
    times = play([*CALLS[:3], FAILED, *CALLS]).times
    assert sorted(times, key=lambda state: times[state]) == [
        "planned",
        "writing",
        "registered",
        "failed",
        "staged",
        "public",
    ]


def test_a_skipped_region_is_not_worked_on() -> None:
    """A Region that the account has not enabled is planned first, or it is an error."""
    skipped = replace(PLANNED, state=P.SKIPPED)
    with pytest.raises(SetupWrong, match=r"us-east-1, which the account has not enabled"):
        transitions.advance(skipped, P.WRITING, now="t")
    assert transitions.advance(skipped, P.PLANNED, now="t").state is P.PLANNED


def test_every_state_has_its_transitions() -> None:
    """The tables know every state, and a state does not lead on to itself."""
    assert set(transitions.PUBLICATION_TRANSITIONS) == set(PublicationState)
    assert set(transitions.BUILD_TRANSITIONS) == set(BuildState)
    for table in (transitions.PUBLICATION_TRANSITIONS, transitions.BUILD_TRANSITIONS):
        assert not [state for state, following in table.items() if state in following]


def test_a_release_is_recorded_once() -> None:
    """Who released first stays on record, whatever comes later."""
    released = transitions.set_build(record(), now="t1", released_by="arn:one")
    again = transitions.set_build(released, now="t2", released_by="arn:two", state=BuildState.PUBLIC)
    assert (again.released_at, again.released_by, again.state) == ("t1", "arn:one", BuildState.PUBLIC)


def test_a_late_conclusion_does_not_take_a_build_back() -> None:
    """A publish execution that concludes `staged` after the release has made the build public is ignored, reason and all."""
    public = replace(record(), state=BuildState.PUBLIC)
    assert transitions.set_build(public, now="t", state=BuildState.STAGED, reason="old news") is public


def test_a_refused_build_is_not_released() -> None:
    """What was refused cannot be released or offered for download."""
    refused = replace(record(), state=BuildState.REFUSED, reason="Wrong SHA-256.")
    for changes in ({"released_by": "arn:one"}, {"downloads": True}):
        with pytest.raises(BuildRefused, match=r"is refused and cannot be released: Wrong SHA-256\."):
            transitions.set_build(refused, now="t", **changes)
    assert transitions.set_build(refused, now="t", state=BuildState.FAILED) is refused


def test_an_accepted_upload_does_not_wait_again() -> None:
    """The late word `waiting` about a version that was accepted is ignored; about another version it counts."""
    accepted = Upload("a/build.sjson", "v1", UploadState.ACCEPTED, "", "t1")
    waiting = replace(accepted, state=UploadState.WAITING, updated="t2")
    assert transitions.set_upload(accepted, waiting) is accepted
    assert transitions.set_upload(accepted, replace(waiting, version_id="v2")).state is UploadState.WAITING
    assert transitions.set_upload(waiting, replace(accepted, updated="t3")).state is UploadState.ACCEPTED


def lineage(serial: str, snapshot_id: str = "snap-1") -> Lineage:
    parent = Parent(snapshot_id, serial, "ab" * 32)
    return Lineage(BUILD.product, "us-east-1", parent, 2**30, zeros_skipped=False, updated=f"when {serial} was verified")


@given(st.permutations(["20261119", "20261120", "20261120.9", "20261120.10", "20261121"]))
def test_a_lineage_ends_in_the_newest_serial(order: list[str]) -> None:
    """In whichever order the builds were verified; serials are compared by their numbers."""
    stored: Lineage | None = None
    for serial in order:
        stored = transitions.follow(stored, lineage(serial))
    assert stored is not None
    assert stored.parent.serial == "20261121"
    assert transitions.follow(lineage("20261120.10"), lineage("20261120.9")).parent.serial == "20261120.10"


def test_the_same_build_again_changes_its_lineage_only_by_another_snapshot() -> None:
    """Verified twice it is the very record; made anew, the new snapshot counts."""
    stored = lineage("20261120")
    assert transitions.follow(stored, replace(stored, updated="later")) is stored
    assert transitions.follow(stored, lineage("20261120", "snap-2")).parent.snapshot_id == "snap-2"


def test_method_and_parent_are_chosen_once_in_an_attempt() -> None:
    """Whoever comes second goes on with what the first has chosen; only another attempt chooses anew."""
    mine, other = Parent("snap-1", "20261120", "ab" * 32), Parent("snap-2", "20261121", "cd" * 32)
    chosen = transitions.advance(PLANNED, P.WRITING, now="t1", method=Method.WRITE, parent=mine)
    assert transitions.advance(chosen, P.WRITING, now="t2", method=Method.WRITE, parent=other) is chosen
    assert transitions.advance(chosen, P.PLANNED, now="t2", method=Method.COPY) is chosen
    in_full = transitions.advance(chosen, P.WRITING, now="t3", attempt=1, method=None, parent=None)
    assert (in_full.method, in_full.parent) == (None, None)
    again = transitions.advance(in_full, P.WRITING, now="t4", method=Method.WRITE, parent=other)
    assert (again.method, again.parent) == (Method.WRITE, other)
