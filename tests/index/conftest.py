"""The index on moto's DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from chalicelib.index.table import Index
from tests.index.values import Clock, empty_index


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An empty index."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield empty_index(clock)
