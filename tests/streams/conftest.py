"""An empty public bucket and an index on moto, and a key to sign with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from chalicelib.index.table import Index
from chalicelib.openpgp import Signer
from tests.index.values import Clock, empty_index, moto_client
from tests.keys import new_key
from tests.streams.bucket import BUCKET, Bucket


@pytest.fixture(scope="package")
def signer() -> Iterator[Signer]:
    with new_key("streams") as key, Signer(key.private) as signer:
        yield signer


@pytest.fixture(scope="package")
def other_signer() -> Iterator[Signer]:
    """The key before, or the key of somebody else."""
    with new_key("other") as key, Signer(key.private) as signer:
        yield signer


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield empty_index(Clock())


@pytest.fixture
def bucket(index: Index) -> Bucket:  # noqa: ARG001 - within the mock that the index lives in
    client = moto_client("s3")
    client.create_bucket(Bucket=BUCKET)
    return Bucket(client)
