"""A build's progress as it is shown: when it is over, what it says, and which exit code follows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from broadside.cli.common import ExitCode, make_console
from broadside.cli.progress import View, as_json, changes, conclusion, duration, headline, region_grid, region_table, views
from chalicelib.errors import CloudBusy
from chalicelib.index.records import BuildState, Publication, PublicationState, Upload, UploadState
from tests.cli.examples import DAILY, publication, record

PUBLIC = publication("us-east-1", PublicationState.PUBLIC, image_id="ami-0123456789abcdef0")
FAILED = publication("eu-west-1", PublicationState.FAILED, reason="eu-west-1: the quota is used up.")
STAGED = publication("us-east-1", PublicationState.STAGED)
WRITING = publication("us-east-1", PublicationState.WRITING)
ACCEPTED = Upload("k/build.sjson", "v2", UploadState.ACCEPTED, "", "2026-11-20T10:00:00Z")
REFUSAL = Upload("k/build.sjson", "v1", UploadState.REFUSED, "The key is not known.", "2026-11-20T10:00:00Z")


def view(state: BuildState, *publications: Publication, released: bool = False, upload: Upload | None = None) -> View:
    released_at = "2026-11-20T10:04:00Z" if released else ""
    return View(DAILY, record(state=state, released_at=released_at), publications, upload)


@pytest.mark.parametrize(("upload", "settled"), [(None, False), (ACCEPTED, True), (REFUSAL, True)])
def test_an_older_state_is_not_taken_for_the_upload_just_made(upload: Upload | None, settled: bool) -> None:
    """Until the manifest that was just uploaded is looked at, what the index says is about an older one."""
    assert View(DAILY, record(state=BuildState.REFUSED), (), upload, version_id="v2").settled is settled


@pytest.mark.parametrize(
    ("seen", "settled", "code"),
    [
        (View(DAILY, None, (), None), False, ExitCode.OK),
        (View(DAILY, None, (), REFUSAL), True, ExitCode.FAILED),
        (view(BuildState.RECORDED), False, ExitCode.OK),
        (view(BuildState.PUBLISHING, WRITING), False, ExitCode.OK),
        (view(BuildState.PUBLISHING, PUBLIC), False, ExitCode.OK),
        (view(BuildState.STAGED, STAGED), True, ExitCode.OK),
        (view(BuildState.STAGED, replace(STAGED, released_at="2026-11-20T10:04:00Z")), False, ExitCode.OK),
        (view(BuildState.PUBLIC, PUBLIC, released=True), True, ExitCode.OK),
        (view(BuildState.PUBLIC, PUBLIC, FAILED, released=True), True, ExitCode.FAILED),
        (view(BuildState.FAILED, FAILED), True, ExitCode.FAILED),
        (view(BuildState.REFUSED), True, ExitCode.FAILED),
        (view(BuildState.PUBLIC, PUBLIC, upload=REFUSAL), True, ExitCode.FAILED),
    ],
)
def test_when_it_is_over_and_how(seen: View, settled: bool, code: ExitCode) -> None:
    """A build has settled when nothing moves by itself any more; any failure makes the exit code 1."""
    assert (seen.settled, seen.exit_code) == (settled, code)


def test_the_watch_goes_on_while_something_was_started() -> None:
    """A failed Region that is being retried looks settled: the watch lasts as long as the execution."""
    busy = iter([True, True, False])
    seen = list(views(lambda: view(BuildState.PUBLIC, FAILED), lambda: next(busy), lambda: None))
    assert len(seen) == 3


def test_the_watch_outlives_one_lost_answer() -> None:
    """One look at the index that gets no answer does not end the watch; the second one in a row does."""
    answers: Iterator[View | Exception] = iter(
        [CloudBusy("no answer"), view(BuildState.PUBLISHING), CloudBusy("no answer"), CloudBusy("no answer")]
    )

    def read() -> View:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    looks = views(read, lambda: False, lambda: None)
    assert next(looks).record is not None
    with pytest.raises(CloudBusy):
        next(looks)


def test_changes_are_told_once() -> None:
    """A log gets a line for each change, with the AMI and the reason, and none when nothing changed."""
    before = view(BuildState.PUBLISHING, WRITING)
    after = view(BuildState.PUBLIC, PUBLIC, FAILED)
    lines = list(changes(before, after))
    assert lines[:2] == [
        "eu-west-1 failed eu-west-1: the quota is used up.",
        "us-east-1 public ami-0123456789abcdef0",
    ]
    assert lines[2].endswith("public  1 public, 1 failed")
    assert list(changes(after, after)) == []


def test_a_refusal_s_reason_is_told_once() -> None:
    """The headline says that it is refused, the conclusion why."""
    refused = View(DAILY, None, (), REFUSAL)
    assert headline(refused).plain.endswith("  refused")
    assert "The key is not known." in str(conclusion(refused)[0])


def test_the_conclusion_says_what_to_do() -> None:
    """A held build names the command that releases it, a failed Region the one that retries it, a refusal its reason."""
    assert "broadside release" in str(conclusion(view(BuildState.STAGED, STAGED))[0])
    assert "broadside retry" in str(conclusion(view(BuildState.PUBLIC, PUBLIC, FAILED))[0])
    assert "The key is not known." in str(conclusion(View(DAILY, None, (), REFUSAL))[0])
    assert conclusion(view(BuildState.PUBLIC, PUBLIC)) == []


def test_ids_stay_whole_where_lines_are_narrow() -> None:
    """On a narrow terminal the reason is folded, the AMI's id never: it is there to be copied."""
    out = io.StringIO()
    Console(file=out, width=60).print(region_table(view(BuildState.PUBLIC, PUBLIC, FAILED)))
    assert "ami-0123456789abcdef0" in out.getvalue()


def test_no_line_of_a_table_ends_in_blanks() -> None:
    """What is copied from it has none either."""
    out = io.StringIO()
    make_console(out).print(region_table(view(BuildState.PUBLIC, PUBLIC, FAILED)))
    lines = out.getvalue().split("\n")
    assert "ami-0123456789abcdef0" in out.getvalue()
    assert [line.rstrip() for line in lines] == lines


def test_states_can_be_told_without_colours() -> None:
    """The grid of Regions marks each state with a character of its own."""
    out = io.StringIO()
    make_console(out).print(region_grid(view(BuildState.PUBLIC, PUBLIC, FAILED)))
    assert "● us-east-1" in out.getvalue()
    assert "✗ eu-west-1" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_the_duration_runs_from_plan_to_rest() -> None:
    """A Region's time is from its plan to the state it rests in; while it moves there is none."""
    times = {"planned": "2026-11-20T10:00:00Z", "public": "2026-11-20T10:01:05Z"}
    assert duration(publication("x", PublicationState.PUBLIC, times=times)) == "1m05s"
    assert duration(publication("x", PublicationState.WRITING, times=times)) == ""


def test_the_json_has_every_region() -> None:
    """Programs get state, ids and reason of every Region."""
    document = as_json(view(BuildState.PUBLIC, PUBLIC, FAILED, released=True))
    assert document["state"] == "public"
    assert [(each["region"], each["state"], each["image_id"]) for each in document["regions"]] == [
        ("eu-west-1", "failed", None),
        ("us-east-1", "public", "ami-0123456789abcdef0"),
    ]
