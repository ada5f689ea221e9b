"""The strict reader of the public files: bytes in, verified values out.  No network, no state.

What holds for whatever is returned:

1. The text is exactly what is signed: nothing stands before, around or after it.
2. One valid signature of a key in the keyring (see :mod:`chalicelib.openpgp`).
3. A products file is the one that the index names: by its SHA-256 and its content id.
4. It has not expired at the time of checking, and it is not older than what the reader has seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from chalicelib import openpgp
from chalicelib.errors import BadSignature, BroadsideError
from chalicelib.streams.model import Entry, StreamsIndex, iso

_CLEARSIGNED = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n(?P<text>.*\n)"
    rb"-----BEGIN PGP SIGNATURE-----\n\n[A-Za-z0-9+/=\n]+\n-----END PGP SIGNATURE-----\n",
    re.DOTALL,
)


class FileRefused(BroadsideError):
    """A public file must not be used."""


class NotAuthentic(FileRefused):
    """It is not signed, by a key of ours, as it stands."""


class NotTheNamedFile(FileRefused):
    """It is another file than the index names."""


class Malformed(FileRefused):
    """It is authentic, but not what its kind of file must be."""


class Expired(FileRefused):
    """It was good once; somebody may be withholding what came after it."""


class RolledBack(FileRefused):
    """It is older than a file that the reader has seen."""


def index(data: bytes, keyring: bytes, *, now: datetime, seen: int = 0) -> StreamsIndex:
    """Check ``index.sjson`` as a reader does.

    Args:
        keyring: public keys, binary.
        seen: the generation of the newest index that the reader has seen.

    Raises:
        NotAuthentic, Malformed, Expired, RolledBack.
    """
    found = signed_index(data, keyring)
    _check_fresh("index.sjson", found.expires, now)
    if found.generation < seen:
        raise RolledBack(f"index.sjson has generation {found.generation}, but {seen} was seen before: it is an old one.")
    return found


def signed_index(data: bytes, keyring: bytes) -> StreamsIndex:
    """Check the signature and form of ``index.sjson``, whatever its age.

    Raises:
        NotAuthentic, Malformed.
    """
    try:
        return StreamsIndex.model_validate(_json(_signed_text(data, keyring, "index.sjson"), "index.sjson"))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise Malformed(f"index.sjson is not an index of ours: {where}: {fault['msg']}.") from error


def products(data: bytes, keyring: bytes, content_id: str, entry: Entry, *, now: datetime) -> dict[str, Any]:
    """Check a clearsigned products file that the index's ``entry`` names; return its tree.

    Raises:
        NotAuthentic, NotTheNamedFile, Malformed, Expired.
    """
    return _products(_signed_text(data, keyring, content_id), content_id, entry, now)


def detached_products(
    data: bytes, signature: bytes, keyring: bytes, content_id: str, entry: Entry, *, now: datetime
) -> dict[str, Any]:
    """The same for the plain file and its detached signature."""
    try:
        openpgp.verify_detached(data, signature, keyring)
    except BadSignature as error:
        raise NotAuthentic(f"{content_id}: {error}") from error
    return _products(data, content_id, entry, now)


def _signed_text(data: bytes, keyring: bytes, name: str) -> bytes:
    frame = _CLEARSIGNED.fullmatch(data)
    if frame is None:
        raise NotAuthentic(f"{name} is not one clearsigned text from its first byte to its last.")
    try:
        verified = openpgp.verify_clearsigned(data, keyring)
    except BadSignature as error:
        raise NotAuthentic(f"{name}: {error}") from error
    if verified.text != frame["text"]:
        raise NotAuthentic(f"{name} holds something besides the text that is signed.")
    return verified.text


def _products(text: bytes, content_id: str, entry: Entry, now: datetime) -> dict[str, Any]:
    if hashlib.sha256(text).hexdigest() != entry.sha256:
        raise NotTheNamedFile(f"{content_id} has another SHA-256 than the index names.")
    tree = _json(text, content_id)
    said = tree.get("content_id"), tree.get("datatype"), tree.get("format"), tree.get("generation"), tree.get("expires")
    if said != (content_id, entry.datatype, entry.format, entry.generation, entry.expires):
        raise NotTheNamedFile(f"{content_id} says of itself other things than the index does.")
    if not isinstance(tree.get("products"), dict) or sorted(tree["products"]) != entry.products:
        raise Malformed(f"{content_id} does not hold the products that the index lists.")
    _check_fresh(content_id, entry.expires, now)
    return tree


def _check_fresh(name: str, expires: str, now: datetime) -> None:
    if datetime.fromisoformat(expires) <= now.astimezone(UTC):
        raise Expired(f"{name} expired at {expires}, it is {iso(now)}: ask for it again, from its publisher.")


def _json(text: bytes, name: str) -> dict[str, Any]:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{name} is not JSON: {error}.") from error
    if not isinstance(tree, dict):
        raise Malformed(f"{name} is not a JSON object.")
    return tree
