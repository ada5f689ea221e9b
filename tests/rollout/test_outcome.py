"""Promises about what is said of a build."""

import json
from dataclasses import replace

import pytest

from chalicelib.index.records import BuildState, Publication, PublicationState
from chalicelib.names import BuildId
from chalicelib.rollout import outcome
from chalicelib.rollout.regions import first_states, unfinished

BUILD = BuildId("com.example.cloud:server:24.04:amd64", "daily", "20261120")
PLANNED, STAGED, PUBLIC = PublicationState.PLANNED, PublicationState.STAGED, PublicationState.PUBLIC
FAILED, SKIPPED = PublicationState.FAILED, PublicationState.SKIPPED


def publications(*states: PublicationState) -> list[Publication]:
    return [Publication(BUILD, f"r{number}", "2026-11-20T00:00:00Z", state) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "released", "expected"),
    [
        ((PUBLIC, FAILED, SKIPPED), True, BuildState.PUBLIC),
        ((STAGED, FAILED), False, BuildState.STAGED),
        ((FAILED, FAILED), False, BuildState.FAILED),
        ((SKIPPED,), True, BuildState.FAILED),
        ((STAGED, FAILED), True, BuildState.PUBLISHING),
        ((PLANNED, FAILED), True, BuildState.PUBLISHING),
        ((FAILED, SKIPPED), True, BuildState.FAILED),
    ],
)
def test_a_build_is_what_its_best_region_is(
    states: tuple[PublicationState, ...], released: bool, expected: BuildState
) -> None:
    """One public Region makes the build public; it has failed only when no Region is on its way any more."""
    assert outcome.build_state(publications(*states), released=released) is expected


def test_a_held_build_is_finished_when_staged_and_a_released_one_when_public() -> None:
    """What is left to do in a Region depends on whether its own turn has come; what was withdrawn is done with."""
    held = publications(PLANNED, STAGED, PUBLIC, FAILED, SKIPPED, PublicationState.WITHDRAWN)
    assert unfinished(held) == ["r0", "r3"]
    assert unfinished(replace(each, released_at="2026-11-20T10:00:00Z") for each in held) == ["r0", "r1", "r3"]


def test_a_region_that_the_account_has_not_opted_into_is_skipped() -> None:
    """Everything else is planned."""
    answer = [
        {"RegionName": "us-east-1", "OptInStatus": "opt-in-not-required"},
        {"RegionName": "af-south-1", "OptInStatus": "not-opted-in"},
        {"RegionName": "eu-south-1", "OptInStatus": "opted-in"},
    ]
    assert first_states(answer) == {"us-east-1": PLANNED, "af-south-1": SKIPPED, "eu-south-1": PLANNED}


def test_our_own_errors_are_told_in_their_own_words() -> None:
    """Lambda wraps the sentence into JSON; a person sees only the sentence."""
    cause = json.dumps({"errorType": "CloudRefused", "errorMessage": "eu-west-1: the quota is used up."})
    assert outcome.sentence({"Error": "CloudRefused", "Cause": cause}) == "eu-west-1: the quota is used up."


def test_an_unexpected_error_names_itself_and_the_way_on() -> None:
    """A bug is no sentence: the reader learns its name, where to look and what to do."""
    told = outcome.sentence({"Error": "KeyError", "Cause": json.dumps({"errorMessage": "'x'"})})
    assert "KeyError" in told
    assert "log" in told
    assert "Retry" in told
    assert outcome.sentence({"Error": "States.Timeout", "Cause": "not JSON"}).count("not JSON") == 1


def test_the_reason_of_a_build_names_the_regions_that_failed() -> None:
    """And is empty when none did."""
    assert "r1" in outcome.reason(publications(PUBLIC, FAILED))
    assert outcome.reason(publications(PUBLIC)) == ""
