"""What a person types names the build they mean, and what they ask is refused when it makes no sense now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broadside.cli.builds import Executions, NoSuchBuild, NotNow, match, under_way
from broadside.cli.progress import View
from broadside.cli.release import releasable
from broadside.cli.retry import check
from chalicelib.errors import CloudRefused
from chalicelib.index.records import BuildState, PublicationState
from chalicelib.names import BuildId
from tests.cli.examples import DAILY, HELD, publication, record

ARM = BuildId("com.example.cloud:server:24.04:arm64", "daily", "20261120")
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:publish"
STAGED = publication("us-east-1", PublicationState.STAGED)
PUBLIC = publication("us-east-1", PublicationState.PUBLIC)
FAILED = publication("eu-west-1", PublicationState.FAILED)


@pytest.mark.parametrize("text", ["24.04:amd64/daily/20261120", "amd64/daily/20261120", str(DAILY)])
def test_the_end_of_a_name_is_enough(text: str) -> None:
    """The end of a build's name, from a slash or colon on, names it where no other build has it."""
    assert match(text, [DAILY, HELD, ARM]) == DAILY


def test_an_ambiguous_name_lists_the_builds() -> None:
    """A name that may mean several builds is refused, and they are listed."""
    with pytest.raises(NoSuchBuild, match=f"2 builds.*{DAILY}, {ARM}"):
        match("daily/20261120", [DAILY, HELD, ARM])


@pytest.mark.parametrize("text", ["20261121", "ily/20261120", ""])
def test_a_name_that_is_no_build_is_refused(text: str) -> None:
    """Part of a word, or nothing, is no build's name."""
    with pytest.raises(NoSuchBuild, match="broadside status"):
        match(text, [DAILY, HELD])


def test_a_held_build_is_released_where_it_is_staged() -> None:
    """A release goes to the Regions that are staged, in the order of their names, and to no other."""
    north = publication("eu-north-1", PublicationState.STAGED)
    assert releasable(record(HELD, BuildState.STAGED), [STAGED, FAILED, north]) == ["eu-north-1", "us-east-1"]


@pytest.mark.parametrize(
    ("state", "publications", "sentence"),
    [
        (BuildState.PUBLIC, [PUBLIC], "public already"),
        (BuildState.RECORDED, [], "is recorded, and staged in no Region"),
        (BuildState.REFUSED, [], "is refused, and staged in no Region"),
        (BuildState.FAILED, [FAILED], "is failed, and staged in no Region"),
    ],
)
def test_what_is_not_held_is_not_released(state: BuildState, publications: list[Any], sentence: str) -> None:
    """A build that is public already, not ready or refused is not released, and the user hears why."""
    with pytest.raises(NotNow, match=sentence):
        releasable(record(HELD, state), publications)


@pytest.mark.parametrize(
    ("state", "publications", "running", "sentence"),
    [
        (BuildState.PUBLIC, (PUBLIC,), False, "Nothing of .* failed"),
        (BuildState.STAGED, (STAGED,), False, "Nothing of .* failed"),
        (BuildState.PUBLIC, (FAILED,), True, "still being published"),
        (BuildState.REFUSED, (), False, "was refused"),
    ],
)
def test_what_did_not_fail_is_not_retried(state: BuildState, publications: Any, running: bool, sentence: str) -> None:
    """A build that is well, being worked on or refused is not retried, and the user hears why."""
    with pytest.raises(NotNow, match=sentence):
        check(View(DAILY, record(state=state), publications, None), running)


@pytest.mark.parametrize(
    ("state", "publications"),
    [(BuildState.PUBLIC, (PUBLIC, FAILED)), (BuildState.FAILED, ()), (BuildState.PUBLISHING, (FAILED,))],
)
def test_what_failed_or_was_left_alone_is_retried(state: BuildState, publications: Any) -> None:
    """A failed Region, a failed build and one whose execution died are all worth another try."""
    check(View(DAILY, record(state=state), publications, None), running=False)


class FakeStepFunctions:
    """Knows the executions it was given, and remembers what is started."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = statuses
        self.started: list[dict[str, Any]] = []

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803 - boto3's name
        machine, _, name = executionArn.rpartition(":")
        assert machine == MACHINE.replace("stateMachine", "execution")
        if name not in self.statuses:
            raise CloudRefused("no", code="ExecutionDoesNotExist")
        return {"status": self.statuses[name]}

    def start_execution(self, **parameters: Any) -> None:
        self.started.append(parameters)


def executions(**statuses: str) -> Executions:
    fake: Any = FakeStepFunctions(**statuses)
    return Executions(fake, MACHINE)


def test_a_new_try_gets_the_first_name_that_is_not_over() -> None:
    """An execution's name is good for one run: the next free one is taken, or the one that still runs is found."""
    assert executions(a="FAILED", b="SUCCEEDED").first_open("abc") == ("c", False)
    assert executions(a="FAILED", b="RUNNING").first_open("abc") == ("b", True)


def test_an_execution_is_started_with_its_input_as_json() -> None:
    """What is started carries name and input as Step Functions takes them."""
    started = executions()
    started.start("a", {"build": str(DAILY)})
    (call,) = started.client.started  # the fake's own
    assert call["name"] == "a"
    assert json.loads(call["input"]) == {"build": str(DAILY)}


def test_whoever_may_not_see_executions_sees_the_index() -> None:
    """A reader's rights are enough for the status of a build."""

    class Closed:
        def describe_execution(self, executionArn: str) -> None:  # noqa: N803 - boto3's name
            raise CloudRefused(f"no right to describe {executionArn}", code="AccessDeniedException")

    closed: Any = Closed()
    nobody_asks: Any = None
    assert under_way(nobody_asks, record(), Executions(closed, MACHINE)) is None


def test_a_claimed_build_is_worked_on() -> None:
    """Whoever has claimed a build is named, and at work for as long as the claim is in the index."""

    class Changing:
        def __init__(self) -> None:
            self.looks = [record(claimed_by="release 24.04"), record(), None]

        def build(self, _build: BuildId) -> Any:
            return self.looks.pop(0)

    index: Any = Changing()
    work = under_way(index, record(claimed_by="release 24.04"), executions())
    assert work is not None
    assert work.what == "The release 24.04"
    assert [work.goes_on(), work.goes_on(), work.goes_on()] == [True, False, False]
