"""What all tests share: an embedded cloud with the project deployed, small and quick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud

#: Five Regions in which something can be tried: two that are always on, one opted in, one not, and the home.
SMALL: dict[str, Any] = {
    "time_scale": 100,
    "home": "us-east-1",
    "regions": [
        {"name": "us-east-1"},
        {"name": "eu-central-1"},
        {"name": "ap-south-1"},
        {"name": "af-south-1", "opt_in": "opted-in"},
        {"name": "me-south-1", "opt_in": "not-opted-in"},
    ],
}


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """An embedded cloud for the whole run.  A test that changes its behaviour puts it back."""
    with LocalCloud(SMALL) as started:
        yield started
