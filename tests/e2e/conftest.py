"""One deployment for the end-to-end tests; each test publishes builds of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broadside.local.cloud import LocalCloud
from tests.e2e.site import Site
from tests.keys import Key, new_key


@pytest.fixture(scope="session")
def builder() -> Iterator[Key]:
    """The key that the builders' keyring holds."""
    with new_key("builder") as key:
        yield key


@pytest.fixture(scope="session")
def signer() -> Iterator[Key]:
    """The key that signs the public files; with a passphrase, so that tests can look for it where it must not be."""
    with new_key("signer", passphrase="correct horse battery staple") as key:  # noqa: S106 - a throw-away key's
        yield key


@pytest.fixture(scope="session")
def keyring(signer: Key, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader holds: the signer's public key, binary."""
    path = tmp_path_factory.mktemp("reader") / "signer.gpg"
    path.write_bytes(signer.public)
    return path


@pytest.fixture(scope="module")
def site(cloud: LocalCloud, builder: Key, signer: Key) -> Site:
    """The deployment in the embedded cloud that all modules share."""
    return Site(cloud, builder, signer)
