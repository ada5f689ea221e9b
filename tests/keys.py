"""OpenPGP keys for tests, made on the fly with the gpg that the machine has."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass
class Key:
    """A key pair in a home folder of its own; the folder's path is short, as the agent's socket needs it."""

    home: Path
    fingerprint: str
    passphrase: str

    def gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run gpg in this key's home."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--pinentry-mode", "loopback"]
        if self.passphrase:
            secret = self.home / "passphrase"
            secret.write_text(self.passphrase)
            command += ["--passphrase-file", str(secret)]
        else:
            command += ["--passphrase", ""]
        return subprocess.run([*command, *arguments], input=data, check=True, capture_output=True, timeout=60).stdout

    @property
    def public(self) -> bytes:
        """The public key, binary."""
        return self.gpg("--export", self.fingerprint)

    @property
    def private(self) -> str:
        """The private key, armored."""
        return self.gpg("--armor", "--export-secret-keys", self.fingerprint).decode()

    def clearsign(self, document: dict[str, Any] | bytes, *options: str) -> bytes:
        """A clearsigned text, or a document as clearsigned JSON."""
        data = document if isinstance(document, bytes) else json.dumps(document, indent=1).encode() + b"\n"
        return self.gpg("--digest-algo", "SHA512", "--local-user", self.fingerprint, *options, "--clearsign", data=data)

    def another(self, name: str, *options: str, expires: str = "never") -> Key:
        """One more key in the same home; ``options`` go to gpg."""
        before = self._fingerprints()
        self.gpg(*options, "--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign", expires)
        (fingerprint,) = self._fingerprints() - before
        return replace(self, fingerprint=fingerprint)

    def revoke(self) -> None:
        """Import the revocation certificate that gpg made with the key."""
        certificate = (self.home / "openpgp-revocs.d" / f"{self.fingerprint}.rev").read_text()
        self.gpg("--import", data=certificate.replace(":-----", "-----").encode())

    def _fingerprints(self) -> set[str]:
        listing = self.gpg("--list-keys", "--with-colons").decode()
        return {line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:")}


@contextmanager
def new_key(name: str, passphrase: str = "") -> Iterator[Key]:
    """A fresh ed25519 key; its home and agent go away afterwards."""
    home = Path(tempfile.mkdtemp(prefix="bs-key-", dir="/tmp"))
    try:
        yield Key(home, "", passphrase).another(name)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False, timeout=10)
        shutil.rmtree(home, ignore_errors=True)
