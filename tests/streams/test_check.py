"""The strict reader against what an attacker, a broken cache or an old mirror may serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.openpgp import Signer
from chalicelib.streams import check
from chalicelib.streams.model import Content, Stamp, StreamsIndex, json_text
from chalicelib.streams.render import contents
from tests.streams.values import NOW, build, public, record

STAMP = Stamp(7, "2026-12-04T12:00:00Z")
ONE = build()
IMAGES, DOWNLOADS = contents([record(ONE, downloads_at="2026-11-20T11:00:00Z")], [public(ONE, "us-east-1")])
INDEX = StreamsIndex.of({each.content_id: each.entry(STAMP) for each in (IMAGES, DOWNLOADS)}, STAMP)


@pytest.fixture(scope="module")
def index_file(signer: Signer) -> bytes:
    return signer.clearsign(INDEX.text("sjson"))


@pytest.fixture(scope="module")
def products_file(signer: Signer) -> bytes:
    return signer.clearsign(IMAGES.text(STAMP))


def test_what_was_published_is_accepted(index_file: bytes, products_file: bytes, signer: Signer) -> None:
    """The values come back as they were rendered."""
    index = check.index(index_file, signer.public_key, now=NOW, seen=7)
    assert index == INDEX
    entry = index.index[IMAGES.content_id]
    tree = check.products(products_file, signer.public_key, IMAGES.content_id, entry, now=NOW)
    assert tree["products"] == IMAGES.products


@pytest.mark.parametrize(
    "attack",
    [
        lambda file: b"\n" + file,
        lambda file: b"junk\n" + file,
        lambda file: file + b"\n",
        lambda file: file + b"junk\n",
        lambda file: file + file,
        lambda file: file[:-20],
        lambda file: file.replace(b"Hash: SHA512\n", b""),
        lambda file: file.replace(b"Hash: SHA512\n", b"Hash: SHA512\nNote: more\n"),
        lambda file: file.replace(b"us-east-1", b"us-east-2", 1),
        lambda file: file.replace(b"{\n", b"{ \n", 1),
        lambda file: file.replace(b"\n", b"\r\n"),
        lambda file: file.replace(b"\n-----BEGIN PGP SIGNATURE", b"\nmore\n-----BEGIN PGP SIGNATURE"),
        lambda _: INDEX.text("sjson"),
        lambda _: b"",
    ],
    ids=[
        "empty line before",
        "junk before",
        "empty line after",
        "junk after",
        "twice",
        "cut off",
        "no hash line",
        "another header",
        "one byte changed",
        "white space that the signature does not cover",
        "other line ends",
        "a line added",
        "not signed",
        "empty",
    ],
)
def test_what_is_not_exactly_the_signed_text_is_refused(
    index_file: bytes, signer: Signer, attack: Callable[[bytes], bytes]
) -> None:
    """Nothing around the message, nothing in it that is not signed."""
    with pytest.raises(check.NotAuthentic):
        check.index(attack(index_file), signer.public_key, now=NOW)


def test_a_foreign_key_is_refused(index_file: bytes, other_signer: Signer) -> None:
    """A valid signature of a key that is not in the keyring."""
    with pytest.raises(check.NotAuthentic, match="is not in the keyring"):
        check.index(index_file, other_signer.public_key, now=NOW)


def test_an_expired_index_is_refused(index_file: bytes, signer: Signer) -> None:
    """Freeze: an old, validly signed tree is good until it expires, not longer."""
    last = NOW + timedelta(days=14) - timedelta(seconds=1)
    check.index(index_file, signer.public_key, now=last)
    with pytest.raises(check.Expired, match="expired at 2026-12-04T12:00:00Z"):
        check.index(index_file, signer.public_key, now=last + timedelta(seconds=1))


def test_an_older_index_is_refused(index_file: bytes, signer: Signer) -> None:
    """Rollback: a generation below the one that was seen."""
    with pytest.raises(check.RolledBack, match="has generation 7, but 8 was seen"):
        check.index(index_file, signer.public_key, now=NOW, seen=8)


def test_one_file_does_not_pass_for_another(signer: Signer) -> None:
    """Mix and match: the authentic downloads file, and an older file of the same name, in the place of the image ids."""
    older = IMAGES.text(Stamp(6, STAMP.expires))
    for text in (DOWNLOADS.text(STAMP), older):
        with pytest.raises(check.NotTheNamedFile, match="another SHA-256 than the index names"):
            check.products(
                signer.clearsign(text), signer.public_key, IMAGES.content_id, INDEX.index[IMAGES.content_id], now=NOW
            )


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"content_id": "com.example.cloud:released:aws"}, check.NotTheNamedFile),
        ({"generation": 6}, check.NotTheNamedFile),
        ({"products": {}}, check.Malformed),
        ({"products": []}, check.Malformed),
    ],
)
def test_a_file_says_what_its_index_says(signer: Signer, change: dict[str, Any], refusal: type[Exception]) -> None:
    """Even signed and of the right SHA-256, a file that contradicts its entry is refused."""

    class Lying(Content):
        def text(self, stamp: Stamp) -> bytes:
            return json_text(json.loads(super().text(stamp)) | change)

    lying = Lying(**vars(IMAGES))
    with pytest.raises(refusal):
        check.products(signer.clearsign(lying.text(STAMP)), signer.public_key, lying.content_id, lying.entry(STAMP), now=NOW)


@pytest.mark.parametrize(
    "tree",
    [
        b"[]\n",
        b"{\n",
        json_text({"format": "index:1.0"}),
        json_text(json.loads(INDEX.text("sjson")) | {"generation": "7"}),
        json_text(json.loads(INDEX.text("sjson")) | {"generation": True}),
        json_text(json.loads(INDEX.text("sjson")) | {"expires": "never"}),
        json_text(json.loads(INDEX.text("sjson")) | {"expires": "2026-13-41T12:00:00Z"}),
        INDEX.text("json"),
        INDEX.text("sjson").replace(b"streams/v1/by-hash", b"../v1/by-hash"),
        INDEX.text("sjson").replace(b"/com.example.cloud:daily:aws.", b"/com.example.cloud:daily:download."),
    ],
    ids=[
        "a list",
        "cut off",
        "bare",
        "text for a number",
        "true for a number",
        "no time",
        "no day",
        "plain paths",
        "..",
        "crossed",
    ],
)
def test_an_index_of_another_form_is_refused(signer: Signer, tree: bytes) -> None:
    """Signed by us, and still not taken: types, times and paths are what they must be."""
    with pytest.raises(check.Malformed):
        check.index(signer.clearsign(tree), signer.public_key, now=NOW)


def test_a_detached_signature_of_another_file_is_refused(signer: Signer) -> None:
    """The plain form with the signature of the file beside it."""
    entry = INDEX.index[IMAGES.content_id]
    text = IMAGES.text(STAMP)
    check.detached_products(text, signer.detach(text), signer.public_key, IMAGES.content_id, entry, now=NOW)
    with pytest.raises(check.NotAuthentic):
        check.detached_products(
            text, signer.detach(DOWNLOADS.text(STAMP)), signer.public_key, IMAGES.content_id, entry, now=NOW
        )
