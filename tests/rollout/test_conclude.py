"""Promises about how a build ends that could not be published."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from moto import mock_aws

from chalicelib.index.records import BuildState, PublicationState
from chalicelib.index.table import Index
from chalicelib.rollout import conclude
from tests.index.values import BUILD, Clock, empty_index, record

PLANNED, WRITING, STAGED = PublicationState.PLANNED, PublicationState.WRITING, PublicationState.STAGED


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A recorded build."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(conclude, "write_status", lambda *_: None)
    with mock_aws():
        made = empty_index(Clock())
        made.record_build(record())
        yield made


def outcome(index: Index) -> conclude.Outcome:
    return conclude.Outcome(index, SimpleNamespace(), "builds")  # type: ignore[arg-type]  # no status is written


@pytest.mark.parametrize(("reached", "expected"), [(PLANNED, BuildState.REFUSED), (WRITING, BuildState.FAILED)])
def test_only_a_build_that_left_nothing_behind_is_refused(
    index: Index, reached: PublicationState, expected: BuildState
) -> None:
    """A refused build makes room for another, which would not know of the first one's snapshot."""
    index.plan(BUILD, {"us-east-1": PLANNED})
    index.advance(BUILD, "us-east-1", reached)
    outcome(index).fail_build(record(), {"Error": "BuildRefused", "Cause": '{"errorMessage": "disk.img was deleted."}'})
    stored = index.build(BUILD)
    assert stored is not None
    assert (stored.state, stored.reason) == (expected, "disk.img was deleted.")


def test_a_withdrawn_build_keeps_its_reason(index: Index) -> None:
    """A publish execution that ends later has nothing to add."""
    index.plan(BUILD, {"us-east-1": PLANNED})
    index.advance(BUILD, "us-east-1", STAGED)
    index.set_build(BUILD, state=BuildState.PUBLISHING)
    index.take_back(BUILD, "us-east-1", PublicationState.WITHDRAWN, "It does not boot.")
    index.set_build(BUILD, state=BuildState.WITHDRAWN, reason="It does not boot.")
    outcome(index).conclude(index.build(BUILD) or record())
    stored = index.build(BUILD)
    assert stored is not None
    assert (stored.state, stored.reason) == (BuildState.WITHDRAWN, "It does not boot.")
