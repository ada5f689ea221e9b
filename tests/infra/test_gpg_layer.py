"""The layer with gpg, in a file system that has nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from broadside.packaging import INFRA

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("apt-get") is None or os.geteuid() != 0, reason="needs root on Debian or Ubuntu"),
]


def build(output: Path) -> Path:
    subprocess.run([INFRA / "gpg-layer" / "build.sh", output], check=True)
    return output


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("layer") / "gpg-layer.zip")


@pytest.fixture
def root(layer: Path, tmp_path: Path) -> Path:
    """An empty root file system with the layer under /opt, where Lambda unpacks it, and a foreign libc on the search path."""
    with ZipFile(layer) as archive:
        for entry in archive.infolist():
            path = tmp_path / "opt" / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                path.symlink_to(archive.read(entry).decode())
            else:
                path.write_bytes(archive.read(entry))
                path.chmod((entry.external_attr >> 16) & 0o777)
    for folder in ("dev", "proc", "home", "lib64"):
        (tmp_path / folder).mkdir(mode=0o700)
    (tmp_path / "dev" / "null").touch()
    (tmp_path / "lib64" / "libc.so.6").write_bytes(b"not a library")
    return tmp_path


def run(root: Path, *command: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command in ``root`` as its only world, with Lambda's kind of search path for libraries."""
    inside = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", str(root), *command]
    environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": "/lib64", "GNUPGHOME": "/home"}
    return subprocess.run(inside, input=data, env=environment, capture_output=True, timeout=60, check=False)


def test_gpg_signs_and_verifies_with_nothing_but_the_layer(root: Path) -> None:
    """A key is made, a text clearsigned through the layer's own agent with a ``Hash:`` line, and verified."""
    gpg = ["/opt/bin/gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "a passphrase"]
    made = run(root, *gpg, "--quick-generate-key", "A Key <key@example.com>", "ed25519", "sign", "never")
    assert made.returncode == 0, made.stderr
    signed = run(root, *gpg, "--digest-algo", "SHA512", "--clearsign", data=b"a text\n")
    assert signed.stdout.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n"), signed.stderr
    verified = run(root, "/opt/bin/gpg", "--verify", data=signed.stdout)
    assert verified.returncode == 0, verified.stderr
    assert run(root, "/opt/bin/gpgconf", "--kill", "gpg-agent").returncode == 0


def test_the_layer_is_reproducible(layer: Path, tmp_path: Path) -> None:
    """Built twice it is the same file, so that a deployment makes a new version only when GnuPG has changed."""
    again = build(tmp_path / "again.zip")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(layer.read_bytes()).digest()
