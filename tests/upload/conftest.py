"""A deployed stack on moto with a builds bucket, and a builder with a key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Deployed, deployed  # noqa: F401 - a fixture
from tests.keys import Key, new_key


@pytest.fixture(scope="session")
def builder() -> Iterator[Key]:
    with new_key("builder") as key:
        yield key


@pytest.fixture
def site(deployed: Deployed, builder: Key, monkeypatch: pytest.MonkeyPatch) -> Deployed:  # noqa: F811 - the fixture
    """The stack; the user's GNUPGHOME is the builder's."""
    monkeypatch.setenv("GNUPGHOME", str(builder.home))
    s3 = deployed.session.client("s3")
    s3.create_bucket(Bucket=deployed.stack.builds_bucket)
    s3.put_bucket_versioning(Bucket=deployed.stack.builds_bucket, VersioningConfiguration={"Status": "Enabled"})
    return deployed


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small disk image."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * 1000)
    return path
