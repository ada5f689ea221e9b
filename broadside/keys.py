"""Throw-away OpenPGP keys, for the demonstration."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from chalicelib.errors import SetupWrong


@dataclass(frozen=True)
class Key:
    """An ed25519 signing key without passphrase or expiry, in a GnuPG home folder of its own."""

    home: Path
    fingerprint: str

    @property
    def public(self) -> bytes:
        """The public key, binary, as gpgv and the simplestreams readers want their keyring."""
        return _gpg(self.home, "--export", self.fingerprint)

    @property
    def private(self) -> str:
        """The private key, armored, as the signing secret holds it."""
        return _gpg(self.home, "--armor", "--export-secret-keys", self.fingerprint).decode("ascii")

    def destroy(self) -> None:
        """Remove the home folder, and with it the key, and end its agent."""
        _remove(self.home)


def new_key(name: str) -> Key:
    """Make a key for ``name``; :meth:`Key.destroy` is the caller's to call.

    Raises:
        SetupWrong: gpg is not installed, or cannot make the key.
    """
    home = Path(tempfile.mkdtemp(prefix="bs-", dir="/tmp"))  # the agent's socket needs a short path
    try:
        _gpg(home, "--quick-generate-key", f"{name} (throw-away) <{name}@example.com>", "ed25519", "sign", "never")
        listing = _gpg(home, "--list-keys", "--with-colons").decode("utf-8")
    except BaseException:
        _remove(home)
        raise
    return Key(home, next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:")))


def _remove(home: Path) -> None:
    if gpgconf := shutil.which("gpgconf"):
        subprocess.run([gpgconf, "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)  # noqa: S603 - no shell
    shutil.rmtree(home, ignore_errors=True)  # an agent that is just ending may remove its socket first


def _gpg(home: Path, *arguments: str) -> bytes:
    gpg = shutil.which("gpg")
    if gpg is None:
        raise SetupWrong("gpg is not installed: apt install gnupg.")
    command = [gpg, "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)  # noqa: S603 - no shell
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SetupWrong(f"gpg cannot do {arguments[0]}: {said[-1] if said else 'it does not say why.'}")
    return done.stdout
