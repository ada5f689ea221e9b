"""Promises about what may be released, and what may be refused afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from moto import mock_aws

from chalicelib.errors import BuildRefused
from chalicelib.index.records import BuildState, PublicationState
from chalicelib.index.table import Index
from chalicelib.rollout import conclude, release
from tests.index.values import BUILD, Clock, empty_index, record

PLANNED, WRITING = PublicationState.PLANNED, PublicationState.WRITING


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A recorded build."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = empty_index(Clock())
        made.record_build(record())
        yield made


def test_a_build_that_failed_before_its_files_were_verified_is_not_released(index: Index) -> None:
    """Else its files would be offered for download unverified."""
    index.set_build(BUILD, state=BuildState.FAILED, reason="S3 was out of reach.")
    with pytest.raises(BuildRefused, match="never verified"):
        release.begin(index, BUILD, "somebody")
    stored = index.build(BUILD)
    assert stored is not None
    assert stored.released_at == ""


@pytest.mark.parametrize(("reached", "expected"), [(PLANNED, BuildState.REFUSED), (WRITING, BuildState.FAILED)])
def test_only_a_build_that_left_nothing_behind_is_refused(
    index: Index, monkeypatch: pytest.MonkeyPatch, reached: PublicationState, expected: BuildState
) -> None:
    """A refused build makes room for another, which would not know of the first one's snapshot."""
    index.plan(BUILD, {"us-east-1": PLANNED})
    index.advance(BUILD, "us-east-1", reached)
    monkeypatch.setattr(conclude, "write_status", lambda *_: None)
    outcome = conclude.Outcome(index, SimpleNamespace(), "builds")  # type: ignore[arg-type]  # no status is written
    outcome.fail_build(record(), {"Error": "BuildRefused", "Cause": '{"errorMessage": "disk.img was deleted."}'})
    stored = index.build(BUILD)
    assert stored is not None
    assert (stored.state, stored.reason) == (expected, "disk.img was deleted.")
