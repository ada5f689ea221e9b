"""Signing and verifying with OpenPGP: the one place that knows gpg.

What holds for everything here:

1. The text of a verified message is what gpg itself says was signed, never a parse of our own.
2. A message verifies only with exactly one signature, made with a SHA-2 digest, by a key of the given keyring that is
   neither expired nor revoked at the time of checking.  Trust is the keyring itself: gpg's web of trust is not asked.
3. Every call but the one for the person at the keyboard works in a home folder of its own that is removed afterwards
   together with its agent, so nothing that the machine's user keeps in ``~/.gnupg`` has a say, and an agent's cache never
   vouches for a wrong passphrase.
4. Keys and passphrases go through pipes, never through an argument, an environment variable or a log.

gpg is found through the variable ``GPG_BINARY``, else on the ``PATH``.  Status lines: GnuPG's ``doc/DETAILS``.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import gnupg

from chalicelib.errors import BadSignature, SetupWrong

# At debug level python-gnupg logs the first bytes of the keys that it imports.
logging.getLogger("gnupg").setLevel(logging.WARNING)

BEGIN_MESSAGE = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNED_WITH_SHA512 = BEGIN_MESSAGE + b"\nHash: SHA512\n"

#: gpg cuts the lines of a clearsigned text after 19,993 bytes, when signing as when verifying, and exits with 0 all the
#: same.  A dash at the beginning of a line is escaped with two bytes more.
MAX_LINE_BYTES = 19_990

#: The digests that a signature may be made with, by OpenPGP's numbers (RFC 9580, 9.5).
_STRONG_DIGESTS = {"8": "SHA256", "9": "SHA384", "10": "SHA512"}

#: How the home folders are called, and after how many seconds nobody can be working in one any more.
_PREFIX = "broadside-gpg-"
_ABANDONED_SECONDS = 3600

#: Neither ask a web of trust, nor a key server, nor a person.
_OPTIONS = ["--trust-model", "always", "--no-auto-check-trustdb", "--disable-dirmngr", "--no-auto-key-retrieve"]

#: The agent stretches the passphrase anew for every signature, which takes most of a second.  The key comes well protected
#: and stays for seconds in a folder that only we can read: the least stretching is enough there.
_AGENT_OPTIONS = "s2k-count 65536\n"


@dataclass(frozen=True)
class Verified:
    """A message whose signature holds.

    ``text`` is what was signed, ``fingerprint`` the primary key's (40 hex digits), ``signed_at`` the time in UTC that the
    signer claims.
    """

    text: bytes
    fingerprint: str
    signed_at: datetime


def verify_clearsigned(data: bytes, keyring: bytes) -> Verified:
    """Check a clearsigned message.

    gpg is lenient about what stands around the message; whoever must not be calls
    :func:`chalicelib.builds.clearsigned.check` as well.

    Args:
        data: the whole file.
        keyring: public keys, binary or armored, one after the other (not both kinds mixed).

    Raises:
        BadSignature: it is not signed as rule 2 of this module says; the sentence tells in what way.
        SetupWrong: the keyring holds no key, or gpg is missing.
    """
    if not data.startswith(BEGIN_MESSAGE):
        raise BadSignature("The text is not clearsigned: sign it with gpg --clearsign.")
    with _home() as home, _Gpg(home) as gpg:
        gpg.import_public(keyring)
        result = gpg.decrypt_file(BytesIO(data))
        return _judge(result, text=bytes(result.data), messages=1)


def verify_detached(data: bytes, signature: bytes, keyring: bytes) -> Verified:
    """Check ``data`` against a detached signature, binary or armored; otherwise as :func:`verify_clearsigned`."""
    with _home() as home, _Gpg(home) as gpg:
        gpg.import_public(keyring)
        file = home / "signature"
        file.write_bytes(signature)
        return _judge(gpg.verify_data(str(file), data), text=data, messages=0)


class Signer:
    """Signs with one private key; a context manager, since the key lies in a folder that must go away::

        with Signer(private_key, passphrase) as signer:
            signer.clearsign(text)

    Raises on entering:
        SetupWrong: the text is not exactly one private key, the passphrase is not its own, or the key cannot sign any more.
    """

    #: The primary key's fingerprint, 40 hex digits.
    fingerprint: str
    #: When the primary key expires, in UTC; None if never.
    expires: datetime | None
    #: The public key, binary: what ``gpgv --keyring`` and the simplestreams readers take as it is.
    public_key: bytes

    def __init__(self, private_key: str, passphrase: str = "") -> None:
        self._private_key = private_key
        self._passphrase = passphrase or None
        self._stack = ExitStack()

    def __repr__(self) -> str:
        return f"Signer({getattr(self, 'fingerprint', 'not entered')})"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            home = stack.enter_context(_home())
            self._gpg = stack.enter_context(_Gpg(home, secret=True, passphrase=self._passphrase))
            key = self._gpg.import_secret(self._private_key)
            self.fingerprint = str(key["fingerprint"])
            self.expires = datetime.fromtimestamp(int(key["expires"]), UTC) if key["expires"] else None
            self.public_key = bytes(self._gpg.export_keys(self.fingerprint, armor=False))
            self._sign(b"", clearsign=False, detach=True)  # now, rather than half-way through a publication
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def clearsign(self, text: bytes) -> bytes:
        """The text with its signature around it, SHA-512, with the ``Hash:`` line that gpgv insists on.

        Raises:
            ValueError: a line is longer than gpg handles, or ends in white space, which the signature would not cover.
            SetupWrong: gpg refused; the sentence says why.
        """
        _check_lines(text)
        signed = self._sign(text, clearsign=True, detach=False)
        if not signed.startswith(_SIGNED_WITH_SHA512):
            raise SetupWrong("gpg left out the line 'Hash: SHA512', without which readers refuse a file: use GnuPG 2.2.")
        return signed

    def detach(self, data: bytes) -> bytes:
        """An armored detached signature, SHA-512; armored as simplestreams' own tools make their ``.gpg`` files."""
        return self._sign(data, clearsign=False, detach=True)

    def _sign(self, data: bytes, *, clearsign: bool, detach: bool) -> bytes:
        result = self._gpg.sign_file(
            BytesIO(data),
            keyid=self.fingerprint,
            passphrase=self._passphrase,
            clearsign=clearsign,
            detach=detach,
            extra_args=["--digest-algo", "SHA512"],
        )
        if result.returncode != 0 or not result.data:
            raise SetupWrong(f"gpg cannot sign with the key {self.fingerprint}: {_last_words(result.stderr)}")
        return bytes(result.data)


def clearsign_as_user(text: bytes, key: str | None = None, home: Path | None = None) -> bytes:
    """Clearsign with a key of the person at the keyboard, whose own agent asks for the passphrase.

    Args:
        text: as for :meth:`Signer.clearsign`.
        key: whatever gpg takes for a key: its id, fingerprint or address; None is gpg's default key.
        home: gpg's home folder; None is the user's (``GNUPGHOME``).

    Raises:
        ValueError: as for :meth:`Signer.clearsign`.
        BadSignature: gpg does not sign; the sentence says why.
        SetupWrong: gpg is missing.
    """
    _check_lines(text)
    environment = dict(os.environ)
    if sys.stdin is not None and sys.stdin.isatty():
        environment.setdefault("GPG_TTY", os.ttyname(sys.stdin.fileno()))  # where the agent asks
    try:
        gpg = gnupg.GPG(gpgbinary=_binary(), gnupghome=str(home) if home else None, env=environment)
    except (OSError, ValueError) as error:
        raise SetupWrong(f"gpg does not run: {error}") from error
    # Not python-gnupg's keyid: that is --default-key, and gpg signs with another key when it does not find that one.
    wanted = ["--local-user", key] if key else []
    result = gpg.sign_file(BytesIO(text), clearsign=True, extra_args=["--digest-algo", "SHA512", *wanted])
    signed = bytes(result.data)
    if result.returncode != 0 or not signed.startswith(_SIGNED_WITH_SHA512):
        raise BadSignature(f"gpg does not sign with {key or 'your default key'}: {_last_words(result.stderr)}")
    return signed


def _check_lines(text: bytes) -> None:
    for number, line in enumerate(text.split(b"\n"), 1):
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"line {number} has {len(line)} bytes: gpg cuts lines of more than {MAX_LINE_BYTES}")
        if line != line.rstrip():
            raise ValueError(f"line {number} ends in white space, which a clearsigned text cannot protect")


class _Gpg(gnupg.GPG):  # type: ignore[misc]  # python-gnupg publishes no types
    """python-gnupg in a home folder of ours."""

    def __init__(self, home: Path, *, secret: bool = False, passphrase: str | None = None) -> None:
        binary = _binary()
        options = list(_OPTIONS)
        if secret:
            (home / "gpg-agent.conf").write_text(_AGENT_OPTIONS)
            agent = _beside(binary, "gpg-agent")
            options += ["--agent-program", agent] if agent else []
            options += [] if passphrase else ["--pinentry-mode", "error"]
        try:
            # Passphrases may be any text; for the rest Latin-1 takes every byte that a foreign user id may hold.
            super().__init__(
                gpgbinary=binary, gnupghome=str(home), options=options, encoding="utf-8" if passphrase else "latin-1"
            )
        except (OSError, ValueError) as error:
            raise SetupWrong(f"gpg does not run as {binary}: {error}") from error
        self._secret = secret

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._secret:
            return  # checking signatures starts no agent
        gpgconf = _beside(self.gpgbinary, "gpgconf")
        if gpgconf:
            command = [gpgconf, "--homedir", self.gnupghome, "--kill", "gpg-agent"]
            subprocess.run(command, check=False, capture_output=True, timeout=10)  # noqa: S603 - no shell, our own arguments

    def import_public(self, keyring: bytes) -> None:
        """Import the keys that signatures are checked against.

        Raises:
            SetupWrong: there is none.
        """
        if not self.import_keys(keyring).fingerprints:
            raise SetupWrong("The keyring to check signatures with holds no OpenPGP public key: put the signers' keys there.")

    def import_secret(self, private_key: str) -> dict[str, Any]:
        """Import the one key to sign with and return python-gnupg's description of it.

        Raises:
            SetupWrong: it is not exactly one.
        """
        self.import_keys(private_key)
        keys = self.list_keys(secret=True)
        if len(keys) != 1:
            raise SetupWrong(f"The signing secret must hold exactly one armored OpenPGP private key; it holds {len(keys)}.")
        return dict(keys[0])


@contextmanager
def _home() -> Iterator[Path]:
    """A home folder for gpg that nobody else can read.

    Directly under ``/tmp``: the agent's socket lies in it, and a path of more than about 100 characters fails.
    """
    _remove_abandoned()
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # an agent that is just ending may remove its socket first


def _remove_abandoned() -> None:
    """Remove the homes of processes that were killed; an agent ends by itself when its home goes away."""
    for folder in Path("/tmp").glob(f"{_PREFIX}*"):  # noqa: S108 - only folders that are the user's own are touched
        with suppress(OSError):  # somebody else was faster
            about = folder.lstat()
            if about.st_uid == os.getuid() and time.time() - about.st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _binary() -> str:
    wanted = os.environ.get("GPG_BINARY", "gpg")
    found = shutil.which(wanted)
    if found is None:
        raise SetupWrong(f"gpg is not there as {wanted}: install GnuPG, or name its program in GPG_BINARY.")
    return found


def _beside(binary: str, name: str) -> str | None:
    """A program of the same GnuPG as ``binary``: Lambda's layer is not where gpg looks by itself."""
    return shutil.which(name, path=str(Path(binary).resolve().parent)) or shutil.which(name)


def _judge(result: Any, *, text: bytes, messages: int) -> Verified:
    """Turn gpg's status lines into the verified message, or the sentence that says why it is not one.

    gpg's exit code does not tell: it is 0 for the signature of an expired or revoked key.
    """
    status = [line.split()[1:] for line in result.stderr.splitlines() if line.startswith("[GNUPG:] ")]
    found = {line[0]: line[1:] for line in status}
    signatures = sum(line[0] == "NEWSIG" for line in status)
    if signatures > 1:
        raise BadSignature("There are several signatures: sign once, since readers that hold only one key fail on two.")
    if signatures == 0:
        raise BadSignature("There is no complete signature: the file is cut off or was changed; sign and upload it again.")
    _refuse_key_or_signature(found)
    valid = found.get("VALIDSIG", [])
    if "GOODSIG" not in found or len(valid) < 10:
        raise BadSignature(f"The signature cannot be checked: {_last_words(result.stderr)}")
    if sum(line[0] == "PLAINTEXT" for line in status) != messages or "ERROR" in found or result.returncode != 0:
        raise BadSignature(f"There is more or less than one signed message: {_last_words(result.stderr)}")
    if valid[7] not in _STRONG_DIGESTS:
        raise BadSignature("The signature uses a weak digest: sign with gpg --digest-algo SHA512.")
    return Verified(text=text, fingerprint=valid[9], signed_at=datetime.fromtimestamp(int(valid[2]), UTC))


def _refuse_key_or_signature(found: dict[str, list[str]]) -> None:
    if "NO_PUBKEY" in found:
        raise BadSignature(f"The key {found['NO_PUBKEY'][0]} that signed is not in the keyring: have its public key added.")
    for keyword, sentence in (
        ("BADSIG", "The signature of the key {key} does not fit the text: it was changed after it was signed."),
        ("REVKEYSIG", "The key {key} that signed is revoked: sign with a valid key."),
        (
            "EXPKEYSIG",
            "The key {key} that signed has expired: sign with a valid key, or have the prolonged one added.",
        ),
        ("EXPSIG", "The signature of the key {key} has expired: sign again."),
    ):
        if keyword in found:
            raise BadSignature(sentence.format(key=found[keyword][0]))


def _last_words(stderr: str) -> str:
    """What gpg itself said last, for a person."""
    said = [line.removeprefix("gpg: ") for line in stderr.splitlines() if line and not line.startswith("[GNUPG:]")]
    return said[-1] if said else "gpg does not say why."
