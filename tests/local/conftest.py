"""An embedded cloud with the small functions of ``fixture/`` instead of the project's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud

FIXTURE = Path(__file__).with_name("fixture")

SETTINGS: dict[str, Any] = {
    "time_scale": 100,
    "regions": [
        {"name": "us-east-1"},
        {"name": "eu-central-1"},
        {"name": "me-south-1", "opt_in": "not-opted-in"},
    ],
}


@pytest.fixture(scope="session")
def _bench() -> Iterator[LocalCloud]:
    options = ("--template", str(FIXTURE / "template.json"), "--code", str(FIXTURE))
    with LocalCloud(SETTINGS, options=options) as started:
        yield started


@pytest.fixture
def bench(_bench: LocalCloud) -> Iterator[LocalCloud]:
    """The cloud with its first behaviour and an empty journal."""
    _bench.set_behaviour()
    _bench.reset_calls()
    yield _bench
    _bench.set_behaviour()
