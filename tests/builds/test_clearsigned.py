"""The strict shape of a clearsigned file: what gpg lets pass and we do not."""

from __future__ import annotations

import pytest

from chalicelib.builds.clearsigned import MAX_BYTES, check
from chalicelib.errors import BadSignature
from tests.examples import text
from tests.keys import Key

EMPTY_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"
HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"


@pytest.fixture(scope="module")
def good(builder: Key) -> bytes:
    """What gpg --clearsign writes."""
    return builder.clearsign(text())


def refusal(data: bytes) -> str:
    with pytest.raises(BadSignature) as caught:
        check(data)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_what_gpg_writes_is_taken(good: bytes, builder: Key) -> None:
    """With and without the last line end, with escaped dashes, with a comment, and in another system's line ends."""
    check(good)
    check(good.rstrip(b"\n"))
    check(good.replace(b"\n", b"\r\n"))
    check(builder.clearsign(b"- a list\n-----BEGIN PGP SIGNED MESSAGE-----\n"))
    check(builder.gpg("--comment", "hello", "--digest-algo", "SHA256", "--clearsign", data=b"text"))


def test_text_without_signature_is_refused() -> None:
    """Plain JSON, nothing at all, and a binary file."""
    for data in (text(), b"", b"\n", b"\x89PNG\r\n"):
        refusal(data)
    assert "not clearsigned" in refusal(text())


@pytest.mark.parametrize("junk", [b"\n", b" ", b"hello\n", b"\xef\xbb\xbf", b"-----BEGIN PGP MESSAGE-----\n"])
def test_anything_before_the_message_is_refused(good: bytes, junk: bytes) -> None:
    """An empty line is enough."""
    refusal(junk + good)


def test_a_line_before_the_message_is_named(good: bytes) -> None:
    """As the reason."""
    assert "something before the signed message" in refusal(b"hello\n" + good)


@pytest.mark.parametrize("junk", [b"\n", b" ", b"hello", b"\n\n", EMPTY_SIGNATURE, HEAD])
def test_anything_after_the_signature_is_refused(good: bytes, junk: bytes) -> None:
    """One line end is all that may follow."""
    assert "something after the signature" in refusal(good + junk)


def test_two_messages_are_refused(good: bytes) -> None:
    """However good each of them is."""
    assert "something after the signature" in refusal(good + good)


def test_a_message_within_the_message_is_refused(good: bytes) -> None:
    """Its lines would have to be escaped."""
    assert "dash that is not escaped" in refusal(HEAD + good)


def test_a_second_signature_block_is_refused(good: bytes) -> None:
    """Before or after the real one."""
    start = good.index(b"-----BEGIN PGP SIGNATURE")
    refusal(good[:start] + EMPTY_SIGNATURE + good[start:])
    refusal(good + EMPTY_SIGNATURE)


def test_a_missing_hash_line_is_refused(good: bytes) -> None:
    """gpgv and the simplestreams client break without it."""
    assert "'Hash: SHA512' is missing" in refusal(good.replace(b"Hash: SHA512\n", b"", 1))


@pytest.mark.parametrize(
    "header", [b"Comment: x", b"Hash: SHA512 x", b"hash: SHA512", b'{"format": 1}', b"NotDashEscaped: yes"]
)
def test_any_other_header_is_refused(good: bytes, header: bytes) -> None:
    """Text in the place of headers is not signed, but looks as if it were."""
    assert "Line 3 is no 'Hash:' line" in refusal(good.replace(b"Hash: SHA512\n", b"Hash: SHA512\n" + header + b"\n", 1))


def test_headers_need_their_empty_line(good: bytes) -> None:
    """Else the text's first line is taken for a header."""
    refusal(good.replace(b"Hash: SHA512\n\n", b"Hash: SHA512\n", 1))
    refusal(HEAD[:-1] + EMPTY_SIGNATURE)


def test_no_truncation_is_taken(good: bytes) -> None:
    """Wherever the upload was cut off, up to the last line end."""
    for length in range(len(good) - 1):
        refusal(good[:length])


def test_text_within_the_signature_is_refused(good: bytes) -> None:
    """Neither as a line nor as a header."""
    begin = b"-----BEGIN PGP SIGNATURE-----\n"
    for smuggled in (b"hello world\n\n", b"{}\n\n", b"\nhello world\n"):
        assert "signature holds something" in refusal(good.replace(begin, begin + smuggled, 1))


def test_an_unescaped_dash_is_refused(good: bytes) -> None:
    """Readers disagree on what such a line is."""
    assert "Line 4 starts with a dash" in refusal(good.replace(b"\n{\n", b"\n--{\n", 1))


def test_mixed_line_ends_are_refused(good: bytes) -> None:
    """A lone CR is a line end to some."""
    assert "mixes kinds of line ends" in refusal(good.replace(b"\n", b"\r\n", 1))
    assert "mixes kinds of line ends" in refusal(good.replace(b"{", b"\r{", 1))


def test_other_encodings_are_refused(good: bytes) -> None:
    """With the place."""
    assert "not UTF-8 at byte" in refusal(good.replace(b"{", b"\xff", 1))
    assert "NUL" in refusal(good.replace(b"{", b"\0", 1))


def test_lines_that_gpg_would_cut_are_refused(good: bytes) -> None:
    """gpg says nothing and verifies the rest."""
    assert "Line 4 has more than 19,990 bytes" in refusal(good.replace(b"{", b"{" + b" " * 20_000, 1))


def test_a_file_that_is_too_large_is_refused(good: bytes) -> None:
    """Before anything else looks at it."""
    assert "too large: 1,048,577 bytes" in refusal(good + b"\n" * (MAX_BYTES + 1 - len(good)))
