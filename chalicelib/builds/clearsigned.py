"""The strict shape of a clearsigned file: one signed message, one signature, and nothing else.

gpg verifies a message wherever it finds one, and hands on what stands around it without a word; readers of ours and others
then take the junk for signed.  So the shape is checked before gpg sees the file.  RFC 9580, 7 (cleartext signatures) and 6.2
(armor).  Whether the signature holds is :mod:`chalicelib.openpgp`'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chalicelib.errors import BadSignature
from chalicelib.openpgp import BEGIN_MESSAGE, MAX_LINE_BYTES

#: A manifest with 64 files has about 32 KiB; what is larger is not even downloaded.
MAX_BYTES = 1024 * 1024

_BEGIN = BEGIN_MESSAGE.decode("ascii")
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"

_HASH = re.compile(r"Hash: [A-Z0-9]+(?:-[0-9]+)?(?:, ?[A-Z0-9]+(?:-[0-9]+)?)*")
_ARMOR_HEADER = re.compile(r"[A-Za-z]+: [ -~]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{1,76}={0,2}")
_CHECKSUM = re.compile(r"=[A-Za-z0-9+/]{4}")


def check(data: bytes) -> None:
    """Check that ``data`` is one clearsigned message from its first byte to its last.

    Lines end in LF, or all of them in CRLF; after the last one may come a single line end.

    Raises:
        BadSignature: it is something else; the sentence says what is wrong and where.
    """
    lines = _lines(data)
    if lines[0] != _BEGIN:
        raise BadSignature(_before(lines))
    signature = _find(lines, _SIGNATURE, "The file is cut off: it has no signature after its text; upload it again.")
    text_start = _check_headers(lines, signature)
    for number in range(text_start, signature):
        if lines[number].startswith("-") and not lines[number].startswith("- "):
            raise BadSignature(f"Line {number + 1} starts with a dash that is not escaped: sign with gpg --clearsign.")
    end = _find(lines, _END, "The file is cut off: its signature has no end; upload it again.", signature)
    _check_armor(lines, signature, end)
    if lines[end + 1 :] not in ([], [""]):
        raise BadSignature(
            f"There is something after the signature, on line {end + 2}: upload only what gpg --clearsign wrote."
        )


def _lines(data: bytes) -> list[str]:
    if len(data) > MAX_BYTES:
        raise BadSignature(f"The file is too large: {len(data):,} bytes where {MAX_BYTES:,} are allowed.")
    if b"\r" in data:
        unix = data.replace(b"\r\n", b"\n")
        if b"\r" in unix or data.count(b"\n") != data.count(b"\r\n"):
            raise BadSignature("The file mixes kinds of line ends, so that readers may disagree on its lines: use one kind.")
        data = unix
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadSignature(f"The file is not UTF-8 at byte {error.start}.") from error
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise BadSignature(f"Line {number} holds a NUL character.")
        if len(line.encode()) > MAX_LINE_BYTES:
            raise BadSignature(
                f"Line {number} has more than {MAX_LINE_BYTES:,} bytes, which gpg cuts: break it and sign again."
            )
    return lines


def _before(lines: Sequence[str]) -> str:
    if _BEGIN in lines:
        return f"There is something before the signed message, up to line {lines.index(_BEGIN)}: it must begin the file."
    return "The file is not clearsigned: sign the manifest with gpg --digest-algo SHA512 --clearsign."


def _find(lines: list[str], wanted: str, otherwise: str, start: int = 0) -> int:
    try:
        return lines.index(wanted, start)
    except ValueError:
        raise BadSignature(otherwise) from None


def _check_headers(lines: Sequence[str], signature: int) -> int:
    """Check the lines up to the first empty one; return the number of the line after it."""
    for number in range(1, signature):
        if not lines[number]:
            if number == 1:
                raise BadSignature("The line 'Hash: SHA512' is missing, without which gpgv refuses the file: sign it anew.")
            return number + 1
        if not _HASH.fullmatch(lines[number]):
            raise BadSignature(f"Line {number + 1} is no 'Hash:' line, and nothing else may stand before the text.")
    raise BadSignature("There is no empty line between the 'Hash:' line and the text: sign with gpg --clearsign.")


def _check_armor(lines: Sequence[str], signature: int, end: int) -> None:
    block = lines[signature + 1 : end]
    try:
        blank = block.index("")
    except ValueError:
        raise BadSignature(
            "The signature has no empty line before its data: upload only what gpg --clearsign wrote."
        ) from None
    headers, body = block[:blank], block[blank + 1 :]
    if body and _CHECKSUM.fullmatch(body[-1]):
        body = body[:-1]
    if not body or not all(map(_BASE64.fullmatch, body)) or not all(map(_ARMOR_HEADER.fullmatch, headers)):
        raise BadSignature("The signature holds something that is not one: upload only what gpg --clearsign wrote.")
