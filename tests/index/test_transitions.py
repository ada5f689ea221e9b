"""What may follow what: any order, any repetition, one outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import BuildRefused, Claimed, SetupWrong
from chalicelib.index import transitions
from chalicelib.index.records import BuildState, Lineage, Method, Parent, Publication, PublicationState, Upload, UploadState
from tests.index.values import BUILD, Clock, record

P = PublicationState
HELD = Publication(BUILD, "us-east-1", updated="2026-11-20T09:00:00Z", times={"planned": "2026-11-20T09:00:00Z"})
#: One whose turn to go public has come.
PLANNED = replace(HELD, released_at="2026-11-20T09:00:00Z")

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
    """A publish execution that concludes `failed` after another has made the build public is ignored, reason and all."""
    public = replace(record(), state=BuildState.PUBLIC)
    for state in (BuildState.RECORDED, BuildState.PUBLISHING, BuildState.FAILED, BuildState.REFUSED):
        assert transitions.set_build(public, now="t", state=state, reason="old news") is public


@pytest.mark.parametrize("state", [each for each in BuildState if each is not BuildState.WITHDRAWN])
def test_a_withdrawn_build_stays_withdrawn(state: BuildState) -> None:
    """With its reason and without downloads, whoever comes late."""
    withdrawn = replace(record(), state=BuildState.WITHDRAWN, reason="It does not boot.")
    assert transitions.set_build(withdrawn, now="t", state=state, reason="old news", downloads=True) is withdrawn


def test_downloads_can_be_closed_and_opened_again() -> None:
    """Closed with the failure of a release, opened by the next one."""
    opened = transitions.set_build(record(), now="t1", downloads=True)
    closed = transitions.set_build(opened, now="t2", downloads=False)
    assert (opened.downloads_at, closed.downloads_at) == ("t1", "")
    assert transitions.set_build(closed, now="t3", downloads=True).downloads_at == "t3"


def test_nothing_goes_public_before_its_turn() -> None:
    """A writer that says so is ignored, until the Region is opened."""
    staged = play(CALLS, HELD)
    assert (staged.state, staged.released_at) == (P.STAGED, "")
    opened = transitions.open_region(staged, now="t1")
    assert (opened.released_at, transitions.open_region(opened, now="t2")) == ("t1", opened)
    assert transitions.advance(opened, P.PUBLIC, now="t3").state is P.PUBLIC


@pytest.mark.parametrize("state", [P.SKIPPED, P.WITHDRAWN])
def test_the_turn_of_some_never_comes(state: PublicationState) -> None:
    """What was withdrawn, and where the account is not: nothing is opened there, nor taken back."""
    stored = replace(HELD, state=state)
    assert transitions.open_region(stored, now="t") is stored
    for to in (P.STAGED, P.WITHDRAWN):
        assert transitions.take_back(stored, to, now="t", reason="why") is stored


def test_what_a_failed_wave_made_public_is_staged_again() -> None:
    """Without a turn, so that who is late does not make it public again, and without a reason, as it has not failed."""
    public = play(CALLS)
    back = transitions.take_back(public, P.STAGED, now="t1", reason="why")
    assert (back.state, back.reason, back.released_at, back.image_id) == (P.STAGED, "", "", "ami-1")
    assert transitions.advance(back, P.PUBLIC, now="t2") is back
    assert transitions.take_back(back, P.STAGED, now="t2", reason="why") is back


@pytest.mark.parametrize("reached", range(4))
def test_what_had_not_got_that_far_goes_on_being_made(reached: int) -> None:
    """A failed wave takes its turn away and nothing else."""
    before = play(CALLS[:reached])
    back = transitions.take_back(before, P.STAGED, now="t", reason="why")
    assert back == replace(before, released_at="", updated="t")


@pytest.mark.parametrize("calls", [CALLS[:count] for count in range(6)] + [[*CALLS[:3], FAILED]])
@pytest.mark.parametrize("turn", ["", "2026-11-20T09:00:00Z"])
def test_a_withdrawal_takes_everything_back_for_good(calls: list[tuple[PublicationState, dict[str, Any]]], turn: str) -> None:
    """Whatever was reached; the reason is kept, and neither a writer nor a release brings it back."""
    before = play(calls, replace(HELD, released_at=turn))
    back = transitions.take_back(before, P.WITHDRAWN, now="t1", reason="It does not boot.")
    assert (back.state, back.reason, back.released_at) == (P.WITHDRAWN, "It does not boot.", "")
    assert (back.image_id, back.times["withdrawn"]) == (before.image_id, "t1")
    assert transitions.open_region(back, now="t2") is back
    assert play([*CALLS, FAILED], back) is back
    assert transitions.advance(back, P.PLANNED, now="t2", image_id="", attempt=1) is back


def test_private_is_noted_once_and_only_of_what_was_taken_back() -> None:
    """What is public, or about to be, is not private; taken back again, it has to be made private again."""
    public = play(CALLS)
    assert transitions.made_private(public, now="t1") is public
    private = transitions.made_private(transitions.take_back(public, P.STAGED, now="t1", reason=""), now="t2")
    assert private.times[transitions.PRIVATE] == "t2"
    assert transitions.made_private(private, now="t3") is private
    again = transitions.advance(transitions.open_region(private, now="t4"), P.PUBLIC, now="t5")
    assert transitions.PRIVATE not in transitions.take_back(again, P.STAGED, now="t6", reason="").times
    assert transitions.PRIVATE not in transitions.take_back(again, P.WITHDRAWN, now="t6", reason="").times


def test_what_is_opened_again_is_not_private_any_more() -> None:
    """Taken back before it was seen to be public, it has to be made private again: everybody may have it by then."""
    private = transitions.made_private(transitions.take_back(play(CALLS), P.STAGED, now="t1", reason=""), now="t2")
    opened = transitions.open_region(private, now="t3")
    assert transitions.PRIVATE not in transitions.take_back(opened, P.STAGED, now="t4", reason="").times


def test_a_build_is_claimed_by_one_at_a_time() -> None:
    """The same may claim it again; who comes second learns whom to wait for."""
    claimed = transitions.claim(record(), "release a", now="t1")
    assert (claimed.claimed_by, claimed.updated) == ("release a", "t1")
    assert transitions.claim(claimed, "release a", now="t2") is claimed
    with pytest.raises(Claimed, match=r"being worked on by the release a: wait for its end, or abort it\."):
        transitions.claim(claimed, "withdrawal b", now="t2")


def test_only_who_claimed_a_build_frees_it() -> None:
    """Freed twice, or by another, nothing changes."""
    claimed = transitions.claim(record(), "release a", now="t1")
    assert transitions.free(claimed, "release b", now="t2") is claimed
    freed = transitions.free(claimed, "release a", now="t2")
    assert freed.claimed_by == ""
    assert transitions.free(freed, "release a", now="t3") is freed


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
