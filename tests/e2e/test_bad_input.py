"""Bad input costs nothing: each fault gets one clear sentence, and not one call to EC2 or EBS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.index.records import BuildState
from chalicelib.names import MANIFEST_NAME, BuildId
from tests.e2e.site import Site, image
from tests.examples import manifest
from tests.keys import Key, new_key

CONTENT = image(2, seed=3)


@pytest.fixture(scope="module")
def stranger() -> Iterator[Key]:
    """A key that is not in the builders' keyring."""
    with new_key("stranger") as key:
        yield key


@pytest.fixture
def untouched(site: Site) -> Iterator[None]:
    """Fails a test during which a function called EC2 or EBS."""
    before = site.last_call()
    yield
    assert [call for call in site.calls_since(before) if call["service"] in ("ec2", "ebs")] == []


def signed(site: Site, **changes: Any) -> Callable[[BuildId], bytes]:
    """A correctly signed manifest with some fields replaced."""
    return lambda build: site.builder.clearsign(manifest(CONTENT, build, **changes))


def refusal(site: Site, signed_text: Callable[[BuildId], bytes], content: bytes = CONTENT) -> str:
    """Upload the image and the manifest; returns the sentence with which it is refused."""
    build = site.new_build()
    site.put(build, "disk.img", content)
    site.put(build, MANIFEST_NAME, signed_text(build))
    return site.wait_refused(build)


@pytest.mark.usefixtures("untouched")
def test_an_unsigned_manifest_is_refused(site: Site) -> None:
    """JSON without a signature."""
    assert "sign" in refusal(site, lambda build: str(manifest(CONTENT, build)).encode())


@pytest.mark.usefixtures("untouched")
def test_a_stranger_s_signature_is_refused(site: Site, stranger: Key) -> None:
    """A valid signature by a key that is not in the builders' keyring."""
    assert "keyring" in refusal(site, lambda build: stranger.clearsign(manifest(CONTENT, build)))


@pytest.fixture
def keyring_of(site: Site) -> Iterator[Callable[[Key], None]]:
    """Puts another key beside the builder's into the builders' keyring, for one test."""

    def put(body: bytes) -> None:
        site.s3.put_object(Bucket=site.stack.work_bucket, Key="keyrings/builders.gpg", Body=body)

    yield lambda key: put(site.builder.public + key.public)
    put(site.builder.public)


@pytest.mark.usefixtures("untouched")
def test_an_expired_key_s_signature_is_refused(site: Site, stranger: Key, keyring_of: Callable[[Key], None]) -> None:
    """Though the key is in the keyring, and was valid when it signed."""
    expired = stranger.another("expired", "--faked-system-time", "20200101T000000", expires="30d")
    keyring_of(expired)
    then = ("--faked-system-time", "20200105T000000")
    assert "expired" in refusal(site, lambda build: expired.clearsign(manifest(CONTENT, build), *then))


@pytest.mark.usefixtures("untouched")
def test_a_revoked_key_s_signature_is_refused(site: Site, stranger: Key, keyring_of: Callable[[Key], None]) -> None:
    """Though the key is in the keyring, and signed before it was revoked."""
    revoked = stranger.another("revoked")
    before = revoked.clearsign(manifest(CONTENT, site.new_build()))
    revoked.revoke()
    keyring_of(revoked)
    assert "revoked" in refusal(site, lambda _: before)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("junk", [(b"", b"\nMore text\n"), (b"Less text\n", b"")], ids=["behind", "before"])
def test_junk_around_the_signed_part_is_refused(site: Site, junk: tuple[bytes, bytes]) -> None:
    """Nothing may stand where no signature covers it."""
    whole = signed(site)
    assert refusal(site, lambda build: junk[0] + whole(build) + junk[1])


@pytest.mark.usefixtures("untouched")
def test_a_truncated_manifest_is_refused(site: Site) -> None:
    """An upload that was cut off."""
    whole = signed(site)
    assert refusal(site, lambda build: whole(build)[:-60])


@pytest.mark.usefixtures("untouched")
def test_signed_text_that_is_not_json_is_refused(site: Site) -> None:
    """The signature is good, the content is not."""
    assert "JSON" in refusal(site, lambda _: site.builder.clearsign(b"product: server\n"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"colour": "blue"}, "colour"),
        ({"serial": "20261340"}, "serial"),
        ({"files": [{"path": "../disk.img", "ftype": "disk1.img", "size": 1, "sha256": "", "sha512": "", "md5": ""}]}, "path"),
    ],
    ids=["unknown field", "bad serial", "path that climbs"],
)
def test_a_manifest_outside_the_schema_is_refused(site: Site, changes: dict[str, Any], word: str) -> None:
    """The sentence names the field."""
    assert word in refusal(site, signed(site, **changes))


@pytest.mark.usefixtures("untouched")
def test_a_manifest_of_50_mb_is_refused_unread(site: Site) -> None:
    """Its size alone is enough."""
    assert "large" in refusal(site, lambda _: bytes(50 * 1024 * 1024))


@pytest.mark.usefixtures("untouched")
def test_an_image_of_another_size_is_refused(site: Site) -> None:
    """Sooner than its content is looked at."""
    assert "disk.img" in refusal(site, signed(site), CONTENT[:-1])


@pytest.mark.usefixtures("untouched")
def test_an_image_with_another_hash_is_refused(site: Site) -> None:
    """Same size, one byte different: as if it had been replaced after its upload."""
    build = site.new_build()
    site.put(build, "disk.img", CONTENT)
    site.put(build, "disk.img", b"\1" + CONTENT[1:])
    site.put(build, MANIFEST_NAME, signed(site)(build))
    site.wait_for(build, BuildState.REFUSED)
    assert "SHA-256" in site.wait_refused(build)


@pytest.mark.usefixtures("untouched")
def test_a_build_whose_image_is_missing_waits_and_says_so(site: Site) -> None:
    """It may still be on its way."""
    build = site.new_build()
    site.put(build, MANIFEST_NAME, signed(site)(build))
    status = site.until(lambda: site.status_file(build), "the status file")
    assert "disk.img" in str(status)
    assert "waiting" in str(status)
    assert site.record(build) is None


def test_an_image_that_arrives_after_its_manifest_is_published(site: Site) -> None:
    """The build that waited goes on by itself."""
    build = site.new_build()
    site.put(build, MANIFEST_NAME, signed(site)(build))
    site.until(lambda: site.status_file(build), "the status file")
    site.put(build, "disk.img", CONTENT)
    site.wait_for(build, BuildState.PUBLIC)


def test_a_serial_is_never_replaced_by_other_content(site: Site) -> None:
    """The first content stays published, the second is refused."""
    build = site.upload(CONTENT)
    first = site.wait_for(build, BuildState.PUBLIC)
    site.put(build, MANIFEST_NAME, signed(site, release_title="Another")(build))
    assert build.serial in site.wait_refused(build)
    assert site.record(build) == first


def test_an_image_replaced_after_the_build_was_recorded_changes_nothing(site: Site) -> None:
    """The version that was there at the time is pinned."""
    build = site.upload(CONTENT)
    site.until(lambda: site.record(build), "the build to be recorded")
    site.put(build, "disk.img", bytes(len(CONTENT)))
    site.wait_for(build, BuildState.PUBLIC)
    home = site.session.region_name
    assert site.read_snapshot(home, site.regions(build)[home].snapshot_id, 2)[: len(CONTENT)] == CONTENT
