"""The bench, with small shards and nothing that waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from chalicelib.snapshots import blocks, shards
from tests.snapshots.bench import Bench, make


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Shards of four blocks, written at EBS's own pace."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    monkeypatch.setattr(blocks, "SMALLEST_SHARD", 4)
    monkeypatch.setattr(shards, "AT_ONCE", 1)
    with mock_aws():
        yield make(tmp_path)


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries of a call nothing waits."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
