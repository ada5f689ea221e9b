"""Promises of the edge between Lambda and the rooms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.errors import BadSignature, BroadsideError, BuildRefused, CloudBusy, CloudRefused, FileMismatch, SetupWrong
from chalicelib.handlers.edge import BOUNDARY, BuildPayload, Payload, at_boundary, step
from chalicelib.handlers.streams import changed_streams

CONTEXT: Any = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:us-east-1:1:function:f", aws_request_id="1"
)
BUILD = "com.example.cloud:server:24.04:amd64/daily/20261120"


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (BadSignature("x"), BuildRefused),
        (FileMismatch("x"), BuildRefused),
        (CloudBusy("x"), CloudBusy),
        (CloudRefused("x", code="Y"), CloudRefused),
        (SetupWrong("x"), SetupWrong),
        (BroadsideError("x"), SetupWrong),
    ],
)
def test_only_names_that_the_state_machines_know_cross_the_boundary(
    error: BroadsideError, known: type[BroadsideError]
) -> None:
    """Step Functions compares names and knows no subclasses; the sentence stays."""
    crossing = at_boundary(error)
    assert type(crossing) is known
    assert known in BOUNDARY
    assert str(crossing) == "x"


def test_a_payload_of_another_shape_is_not_tried_again() -> None:
    """It is the state machine's fault, which no retry mends."""

    @step(Payload)
    def anything(_payload: Payload) -> dict[str, Any]:
        return {}

    with pytest.raises(SetupWrong, match="colour"):
        anything({"build": BUILD, "colour": "blue"}, CONTEXT)


def test_a_step_answers_what_its_function_answers() -> None:
    """Parsed on the way in, untouched on the way out."""

    @step(BuildPayload)
    def serial(payload: BuildPayload) -> dict[str, Any]:
        return {"serial": payload.id.serial}

    assert serial({"build": BUILD}, CONTEXT) == {"serial": "20261120"}


def record(pk: str, sk: str) -> dict[str, Any]:
    return {"dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}}}


def test_a_batch_of_changes_names_its_streams_once() -> None:
    """The publisher's own counter and the uploads are no streams."""
    batch = [record("daily", "a"), record("daily", "b"), record("#streams", "#generation"), record("#uploads", "c")]
    assert changed_streams({"Records": batch}) == {"daily"}


def test_a_request_for_a_refresh_concerns_every_stream() -> None:
    """Whatever else is in the batch."""
    assert changed_streams({"Records": [record("daily", "a"), record("#streams", "#refresh")]}) is None
