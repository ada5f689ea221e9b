"""Promises of the one place that knows gpg, and the attacks that it must withstand."""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chalicelib import openpgp
from chalicelib.errors import BadSignature, SetupWrong
from chalicelib.openpgp import MAX_LINE_BYTES, Signer, verify_clearsigned, verify_detached
from tests.keys import Key, new_key

TEXT = b'{\n "a": 1\n}\n'
PASSPHRASE = "päss phrase ☃"  # noqa: S105 - a throw-away key's
IN_2020 = ("--faked-system-time", "20200105T000000")


@pytest.fixture(scope="module")
def builder() -> Iterator[Key]:
    with new_key("builder") as key:
        yield key


@pytest.fixture(scope="module")
def signing() -> Iterator[Key]:
    """A key with a passphrase, as the signing secret holds it."""
    with new_key("signing", PASSPHRASE) as key:
        yield key


def sign(key: Key, *options: str, text: bytes = TEXT) -> bytes:
    return key.clearsign(text, *options)


# --- Verifying


def test_a_good_signature_yields_text_signer_and_time(builder: Key) -> None:
    """What was signed comes back as gpg read it, with the primary key's fingerprint."""
    verified = verify_clearsigned(sign(builder, text=b"- dash\nspace  \nend"), builder.public)
    assert verified.text == b"- dash\nspace\nend\n"  # gpg's own reading: blanks at a line's end are not signed
    assert verified.fingerprint == builder.fingerprint
    assert abs(verified.signed_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_line_ends_of_another_system_verify(builder: Key) -> None:
    """A transfer that turned LF into CRLF leaves the signature good."""
    assert verify_clearsigned(sign(builder).replace(b"\n", b"\r\n"), builder.public).text.split() == TEXT.split()


def test_a_keyring_may_be_several_armored_keys(builder: Key, signing: Key) -> None:
    """Armored keys one after the other, as people paste them together."""
    keyring = b"".join(key.gpg("--armor", "--export", key.fingerprint) for key in (signing, builder))
    assert verify_clearsigned(sign(builder), keyring).fingerprint == builder.fingerprint


def test_a_keyring_may_be_several_binary_keys(builder: Key, signing: Key) -> None:
    """Binary keys one after the other."""
    assert verify_clearsigned(sign(builder), signing.public + builder.public).fingerprint == builder.fingerprint


def test_a_subkey_s_signature_counts_as_its_primary_key_s(builder: Key) -> None:
    """Whoever keeps the primary key offline signs with a subkey, and is known by the primary one."""
    key = builder.another("offline")
    key.gpg("--quick-add-key", key.fingerprint, "ed25519", "sign", "1y")
    data = sign(key)
    packets = key.gpg("--list-packets", data=data).decode()
    assert f"keyid {key.fingerprint[-16:]}" not in packets, "the primary key signed, not the subkey"
    assert verify_clearsigned(data, key.public).fingerprint == key.fingerprint


def test_a_changed_text_is_refused(builder: Key) -> None:
    """One byte is enough."""
    with pytest.raises(BadSignature, match="changed after it was signed"):
        verify_clearsigned(sign(builder).replace(b'"a": 1', b'"a": 2'), builder.public)


def test_an_unknown_key_is_refused_and_named(builder: Key, signing: Key) -> None:
    """Good mathematics by somebody whom the keyring does not hold."""
    with pytest.raises(BadSignature, match=f"{builder.fingerprint[-16:]}.* not in the keyring"):
        verify_clearsigned(sign(builder), signing.public)


def test_a_key_that_signs_itself_into_the_message_is_unknown(builder: Key, signing: Key) -> None:
    """A public key that the attacker appends is not imported."""
    data = sign(builder) + builder.gpg("--armor", "--export", builder.fingerprint)
    with pytest.raises(BadSignature, match="not in the keyring"):
        verify_clearsigned(data, signing.public)


def test_an_expired_key_is_refused(builder: Key) -> None:
    """Even for what it signed while it was valid; gpg itself exits with 0 here."""
    key = builder.another("expired", "--faked-system-time", "20200101T000000", expires="30d")
    with pytest.raises(BadSignature, match="has expired: sign with a valid key"):
        verify_clearsigned(sign(key, *IN_2020), key.public)


def test_an_expired_signature_is_refused(builder: Key) -> None:
    """The signer said until when it holds; gpg itself exits with 0 here."""
    key = builder.another("brief", "--faked-system-time", "20200101T000000")
    with pytest.raises(BadSignature, match=r"signature of the key .* has expired"):
        verify_clearsigned(sign(key, *IN_2020, "--default-sig-expire", "1d"), key.public)


def test_a_revoked_key_is_refused(builder: Key) -> None:
    """gpg itself exits with 0 here."""
    key = builder.another("revoked")
    data = sign(key)
    key.revoke()
    with pytest.raises(BadSignature, match="is revoked"):
        verify_clearsigned(data, key.public)


def test_two_signatures_are_refused_even_if_both_are_good(builder: Key) -> None:
    """Readers who hold one of the two keys would fail on it."""
    second = builder.another("second")
    with pytest.raises(BadSignature, match="several signatures"):
        verify_clearsigned(sign(builder, "--local-user", second.fingerprint), builder.public + second.public)


def test_two_messages_are_refused(builder: Key) -> None:
    """gpg would print both texts."""
    with pytest.raises(BadSignature, match="more or less than one signed message"):
        verify_clearsigned(sign(builder) * 2, builder.public)


@pytest.mark.parametrize("length", [0, 40, 90, 150, -60, -100])
def test_a_truncated_message_is_refused(builder: Key, length: int) -> None:
    """Wherever the upload was cut off."""
    with pytest.raises(BadSignature):
        verify_clearsigned(sign(builder)[:length], builder.public)


def test_a_text_without_signature_is_refused(builder: Key) -> None:
    """Plain text, and a signed message of the other kind, whose text is not readable as it lies there."""
    for data in (TEXT, builder.gpg("--armor", "--sign", data=TEXT)):
        with pytest.raises(BadSignature, match="not clearsigned"):
            verify_clearsigned(data, builder.public)


def test_a_weak_digest_is_refused(builder: Key) -> None:
    """SHA-1 can be made to collide."""
    data = builder.gpg("--digest-algo", "SHA1", "--local-user", builder.fingerprint, "--clearsign", data=TEXT)
    with pytest.raises(BadSignature, match="weak digest"):
        verify_clearsigned(data, builder.public)


def test_status_lines_in_a_user_id_are_not_believed(builder: Key) -> None:
    """A stranger's name cannot speak for gpg."""
    with new_key("x\n[GNUPG:] GOODSIG 0 x") as stranger, pytest.raises(BadSignature, match="not in the keyring"):
        verify_clearsigned(sign(stranger), builder.public)


@pytest.mark.parametrize("keyring", [b"", b"no key", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"])
def test_a_keyring_without_keys_is_the_operator_s_fault(builder: Key, keyring: bytes) -> None:
    """The builder cannot help it."""
    with pytest.raises(SetupWrong, match="holds no OpenPGP public key"):
        verify_clearsigned(sign(builder), keyring)


def test_a_detached_signature_verifies_its_data_alone(builder: Key) -> None:
    """Armored or binary, for these bytes and no others."""
    for options in ((), ("--armor",)):
        signature = builder.gpg(
            "--digest-algo", "SHA512", "--local-user", builder.fingerprint, *options, "--detach-sign", data=TEXT
        )
        assert verify_detached(TEXT, signature, builder.public).fingerprint == builder.fingerprint
        with pytest.raises(BadSignature, match="changed after it was signed"):
            verify_detached(TEXT + b"\n", signature, builder.public)
    with pytest.raises(BadSignature, match="no complete signature"):
        verify_detached(TEXT, b"no signature", builder.public)


def test_a_missing_gpg_is_the_operator_s_fault(builder: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the variable that says where gpg is."""
    monkeypatch.setenv("GPG_BINARY", "/nowhere/gpg")
    with pytest.raises(SetupWrong, match=r"/nowhere/gpg.*GPG_BINARY"):
        verify_clearsigned(b"-----BEGIN PGP SIGNED MESSAGE-----", builder.public)


# --- Signing


def test_what_is_signed_verifies_with_gpgv(signing: Key, tmp_path: Path) -> None:
    """The other program, that readers use, with the public key that the signer hands out."""
    with Signer(signing.private, PASSPHRASE) as signer:
        keyring, clear, data = tmp_path / "key.gpg", tmp_path / "text.sjson", tmp_path / "text"
        keyring.write_bytes(signer.public_key)
        clear.write_bytes(signer.clearsign(TEXT))
        data.write_bytes(TEXT)
        (tmp_path / "text.gpg").write_bytes(signer.detach(TEXT))
        assert signer.fingerprint == signing.fingerprint
        assert signer.expires is None
    subprocess.run(["gpgv", "--keyring", keyring, clear], check=True, capture_output=True)
    subprocess.run(["gpgv", "--keyring", keyring, tmp_path / "text.gpg", data], check=True, capture_output=True)
    assert clear.read_bytes().startswith(b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n")
    assert (tmp_path / "text.gpg").read_bytes().startswith(b"-----BEGIN PGP SIGNATURE-----\n")


def test_a_key_without_passphrase_signs(builder: Key) -> None:
    """Nobody is asked for one."""
    with Signer(builder.private) as signer:
        assert verify_clearsigned(signer.clearsign(TEXT), signer.public_key).text == TEXT


def test_the_expiry_of_the_key_is_known(builder: Key) -> None:
    """So that somebody can be told in time."""
    with Signer(builder.another("year", expires="1y").private) as signer:
        assert signer.expires is not None
        assert timedelta(days=364) < signer.expires - datetime.now(UTC) < timedelta(days=367)


def test_a_wrong_passphrase_is_found_on_entering(signing: Key) -> None:
    """Also right after the right one was used: no agent remembers it."""
    with Signer(signing.private, PASSPHRASE):
        pass
    with pytest.raises(SetupWrong, match="cannot sign"), Signer(signing.private, "wrong"):
        pass
    with pytest.raises(SetupWrong, match="cannot sign"), Signer(signing.private):
        pass


def test_an_expired_key_is_found_on_entering(builder: Key) -> None:
    """Rather than half-way through a publication."""
    key = builder.another("late", "--faked-system-time", "20200101T000000", expires="30d")
    with pytest.raises(SetupWrong, match="cannot sign"), Signer(key.private):
        pass


def test_the_secret_must_be_exactly_one_key(builder: Key) -> None:
    """None, two, or only the public half are no choice to sign with."""
    public = builder.gpg("--armor", "--export", builder.fingerprint).decode()
    two = builder.private + builder.another("twin").private
    for secret, count in (("", 0), ("text", 0), (public, 0), (two, 2)):
        with pytest.raises(SetupWrong, match=f"holds {count}"), Signer(secret):
            pass


def test_lines_that_a_signature_cannot_protect_are_refused(builder: Key) -> None:
    """gpg cuts long lines and drops blanks at their end, both without a word."""
    with Signer(builder.private) as signer:
        longest = b"-" * MAX_LINE_BYTES + b"\n"  # a dash is escaped, which takes two bytes more
        assert verify_clearsigned(signer.clearsign(longest), signer.public_key).text == longest
        with pytest.raises(ValueError, match="line 2 has"):
            signer.clearsign(b"\nx" + longest)
        with pytest.raises(ValueError, match="line 1 ends in white space"):
            signer.clearsign(b"x \n")


def test_nothing_is_left_behind(signing: Key) -> None:
    """Neither the folder with the key nor the agent that holds it."""
    with Signer(signing.private, PASSPHRASE) as signer:
        home = Path(signer._gpg.gnupghome)
        assert agents(home)
    assert not home.exists()
    deadline = time.monotonic() + 5
    while agents(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not agents(home)


def agents(home: Path) -> list[str]:
    """The command lines of running agents of that home."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(file.read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [command for command in commands if "gpg-agent" in command and str(home) in command]


def test_no_secret_is_in_a_log_or_a_name(signing: Key, caplog: pytest.LogCaptureFixture) -> None:
    """Not even with logging at its most talkative."""
    caplog.set_level(logging.DEBUG)
    with Signer(signing.private, PASSPHRASE) as signer:
        signer.clearsign(TEXT)
        assert PASSPHRASE not in repr(signer) + str(vars(signer).get("args", ""))
    assert PASSPHRASE not in caplog.text
    assert "PRIVATE KEY" not in caplog.text + repr(signer)


def test_the_temporary_home_is_short_and_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A long TMPDIR would break the agent's socket."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with openpgp._home() as home:
        assert len(str(home)) < 40
        assert home.stat().st_mode & 0o777 == 0o700


def test_the_homes_of_killed_processes_are_removed() -> None:
    """After an hour, when nobody can be working in them; the key in them was under its passphrase all the while."""
    old, new = (Path(tempfile.mkdtemp(prefix="broadside-gpg-", dir="/tmp")) for _ in range(2))
    try:
        os.utime(old, (time.time() - 4000, time.time() - 4000))
        with openpgp._home():
            assert not old.exists()
            assert new.exists()
    finally:
        new.rmdir()
