"""From records to products files: the format, and the traps that readers set."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState
from chalicelib.openpgp import MAX_LINE_BYTES
from chalicelib.streams.model import Entry, Stamp, StreamsIndex
from chalicelib.streams.render import contents, public_name
from tests.streams import readers
from tests.streams.values import PRODUCT, build, public, record

STAMP = Stamp(7, "2026-12-04T12:00:00Z")
SINCE = "2026-11-20T11:00:00Z"
Streams = tuple[list[BuildRecord], list[Publication]]


def tree(*streams: Streams) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plain index and its products files by content id, as a reader decodes them."""
    entries: dict[str, Entry] = {}
    files: dict[str, Any] = {}
    for stream in streams:
        for content in contents(*stream):
            entries[content.content_id] = content.entry(STAMP)
            files[content.content_id] = json.loads(content.text(STAMP))
    return json.loads(StreamsIndex.of(entries, STAMP).text("json")), files


def one_build(stream: str = "daily", serial: str = "20261120", **changes: Any) -> Streams:
    one = build(serial, stream)
    regions = ("us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1")
    return [record(one, downloads_at=SINCE, **changes)], [public(one, region) for region in regions]


def test_the_index_has_the_form_of_index_1_0() -> None:
    """Every key that the format has, for each partition and for the downloads."""
    index, _ = tree(one_build())
    assert (index["format"], index["updated"]) == ("index:1.0", "Fri, 20 Nov 2026 11:00:00 +0000")
    assert (index["generation"], index["expires"]) == (7, "2026-12-04T12:00:00Z")
    assert set(index["index"]) == {f"com.example.cloud:daily:{kind}" for kind in ("aws", "aws-cn", "aws-govcloud", "download")}
    entry = index["index"]["com.example.cloud:daily:aws"]
    assert entry.pop("path").endswith("/com.example.cloud:daily:aws.json")
    assert entry == {
        "datatype": "image-ids",
        "format": "products:1.0",
        "products": ["com.example.cloud.daily:server:24.04:amd64"],
        "updated": "Fri, 20 Nov 2026 10:00:00 +0000",
        "generation": 7,
        "expires": "2026-12-04T12:00:00Z",
        "cloudname": "aws",
        "clouds": [
            {"region": "eu-west-1", "endpoint": "https://ec2.eu-west-1.amazonaws.com"},
            {"region": "us-east-1", "endpoint": "https://ec2.us-east-1.amazonaws.com"},
        ],
    }
    assert {"cloudname", "clouds"}.isdisjoint(index["index"]["com.example.cloud:daily:download"])


def test_image_ids_have_the_form_of_products_1_0() -> None:
    """The whole of a small file."""
    _, files = tree(one_build("released"))
    assert files["com.example.cloud:released:aws-cn"] == {
        "_aliases": {"crsn": {"cn-north-1": {"region": "cn-north-1", "endpoint": "https://ec2.cn-north-1.amazonaws.com.cn"}}},
        "content_id": "com.example.cloud:released:aws-cn",
        "datatype": "image-ids",
        "expires": "2026-12-04T12:00:00Z",
        "format": "products:1.0",
        "generation": 7,
        "products": {
            "com.example.cloud:server:24.04:amd64": {
                "aliases": "24.04,noble",
                "arch": "amd64",
                "os": "example",
                "release": "noble",
                "release_codename": "Noble Numbat",
                "release_title": "24.04 LTS",
                "support_eol": "2029-05-31",
                "supported": True,
                "version": "24.04",
                "versions": {
                    "20261120": {
                        "label": "release",
                        "pubname": "com.example.cloud-server-24.04-amd64-released-20261120",
                        "items": {
                            "cnnn1hs": {
                                "boot_mode": "uefi-preferred",
                                "crsn": "cn-north-1",
                                "id": "ami-20261120cnnorth1",
                                "root_store": "ssd",
                                "virt": "hvm",
                            }
                        },
                    }
                },
            }
        },
        "updated": "Fri, 20 Nov 2026 10:00:00 +0000",
    }


def test_downloads_name_the_files_with_all_their_digests() -> None:
    """The key of an item is the ftype that was signed; the path leads from the public root to the file."""
    one = one_build()
    _, files = tree(one)
    product = files["com.example.cloud:daily:download"]["products"]["com.example.cloud.daily:server:24.04:amd64"]
    signed = one[0][0].manifest["files"][0]
    assert product["versions"]["20261120"]["items"] == {
        "disk1.img": {
            "ftype": "disk1.img",
            "path": "images/com.example.cloud/server/24.04/amd64/daily/20261120/disk.img",
            **{key: signed[key] for key in ("size", "md5", "sha256", "sha512")},
        }
    }


@pytest.mark.parametrize("state", [state for state in PublicationState if state is not PublicationState.PUBLIC])
def test_only_what_is_public_is_named(state: PublicationState) -> None:
    """An AMI in any other state, a public one without an id, and files that are not there yet do not appear."""
    one = build()
    assert contents([record(one)], [public(one, "us-east-1", state=state), public(one, "eu-west-1", image_id="")]) == []


def test_a_refused_build_is_never_named() -> None:
    """Not even if its AMI was public by somebody's mistake."""
    builds, publications = one_build()
    assert contents([replace(builds[0], state=BuildState.REFUSED)], publications) == []


def test_an_alias_never_leads_from_a_release_to_a_daily() -> None:
    """LXD looks an alias up over the whole index and hands out the newest serial: `noble` has to mean the release."""
    index, files = tree(one_build("daily", "20261120"), one_build("released", "20260915"))
    found = readers.lxd_aliases(index, files)
    assert found["noble", "amd64"] == ["20260915"]
    assert found["noble-daily", "amd64"] == ["20261120"]


@given(st.sets(st.integers(0, 120), min_size=1))
def test_the_newest_is_the_last_as_text(counts: set[int]) -> None:
    """Whatever serials a day brings, sorting the versions as text finds the newest build, and its name is its serial."""
    builds = [build("20261120" + (f".{count}" if count else "")) for count in sorted(counts)]
    streams = [record(one, downloads_at=SINCE) for one in builds], [public(one, "us-east-1") for one in builds]
    _, files = tree(streams)
    for file in files.values():
        versions = file["products"]["com.example.cloud.daily:server:24.04:amd64"]["versions"]
        assert max(versions) == builds[-1].serial
        assert set(versions) <= {one.serial for one in builds}
        if max(counts) < 10:
            assert len(versions) == len(builds)


def test_a_region_that_lacks_the_tenth_build_keeps_the_ninth() -> None:
    """An item gives way only to a newer one in its own Region."""
    ninth, tenth = build("20261120.9"), build("20261120.10")
    publications = [public(ninth, "us-east-1"), public(ninth, "eu-west-1"), public(tenth, "us-east-1")]
    _, files = tree(([record(ninth), record(tenth)], publications))
    versions = files["com.example.cloud:daily:aws"]["products"]["com.example.cloud.daily:server:24.04:amd64"]["versions"]
    assert {serial: set(version["items"]) for serial, version in versions.items()} == {
        "20261120.9": {"euww1hs"},
        "20261120.10": {"usee1hs"},
    }


def test_the_newest_build_describes_the_product() -> None:
    """Titles, aliases and support are those of the newest build, whatever the order of the records."""
    old = record(build("20261119"), release_title="24.04", supported=False, aliases=[], support_eol=None)
    new = record(build("20261120"))
    publications = [public(old.id, "us-east-1"), public(new.id, "us-east-1")]
    for builds in ([old, new], [new, old]):
        _, files = tree((builds, publications))
        product = files["com.example.cloud:daily:aws"]["products"]["com.example.cloud.daily:server:24.04:amd64"]
        assert (product["release_title"], product["supported"]) == ("24.04 LTS", True)


def test_what_a_manifest_leaves_open_is_left_out() -> None:
    """No alias and no end of support are no keys, since an empty one would have a meaning."""
    _, files = tree(one_build(aliases=[], support_eol=None))
    product = files["com.example.cloud:daily:aws"]["products"]["com.example.cloud.daily:server:24.04:amd64"]
    assert {"aliases", "support_eol"}.isdisjoint(product)


def test_each_prefix_has_files_of_its_own() -> None:
    """Products of two publishers in one stream do not mix."""
    mine, other = build(), build(product="org.other.images:server:24.04:amd64")
    index, _ = tree(([record(mine), record(other)], [public(mine, "us-east-1"), public(other, "us-east-1")]))
    assert {cid: entry["products"] for cid, entry in index["index"].items()} == {
        "com.example.cloud:daily:aws": ["com.example.cloud.daily:server:24.04:amd64"],
        "org.other.images:daily:aws": ["org.other.images.daily:server:24.04:amd64"],
    }


def test_the_same_records_make_the_same_bytes() -> None:
    """The order of the records, and anything that is not named, leave no trace."""
    one, other = build("20261119"), build("20261120")
    builds = [record(one, downloads_at=SINCE), record(other)]
    publications = [public(each, region) for each in (one, other) for region in ("us-east-1", "eu-west-1")]
    first = [content.text(STAMP) for content in contents(builds, publications)]
    unseen = replace(public(other, "af-south-1", state=PublicationState.STAGED), updated="2026-11-22T00:00:00Z")
    assert [content.text(STAMP) for content in contents(builds[::-1], [unseen, *publications[::-1]])] == first


def test_lines_are_short_and_plain() -> None:
    """gpg cuts long lines without a word, and a clearsigned text does not cover white space at their ends."""
    titles = one_build(release_title="Ünïcödé " * 10 + "end")
    for content in contents(*titles):
        text = content.text(STAMP)
        assert text.isascii()
        assert text.endswith(b"}\n")
        assert all(len(line) < MAX_LINE_BYTES and line == line.rstrip() for line in text.split(b"\n"))


def test_a_product_file_knows_its_name_for_files() -> None:
    """`pubname` is the AMI's name without slashes, so that Glance and file systems take it."""
    one = build()
    assert public_name(one) == "com.example.cloud-server-24.04-amd64-daily-20261120"
    assert public_name(one).replace("-", "") == one.image_name.replace("/", "").replace("-", "")


# Readers


def test_juju_finds_the_newest_image_of_a_region() -> None:
    """By product, Region and endpoint, as its controller asks."""
    index, files = tree(one_build("released"), one_build("daily"))
    for product, serial in ((PRODUCT, "20261120"), ("com.example.cloud.daily:server:24.04:amd64", "20261120")):
        found = readers.juju_image(index, files, product, "us-east-1", "https://ec2.us-east-1.amazonaws.com")
        assert found == f"ami-{serial}useast1"
    china = readers.juju_image(index, files, PRODUCT, "cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn")
    assert china == "ami-20261120cnnorth1"


def test_lxd_decodes_every_download() -> None:
    """Types as in its Go structs: a bool, whole numbers, strings, a date."""
    index, files = tree(one_build("released"))
    assert readers.lxd_aliases(index, files) == {("24.04", "amd64"): ["20261120"], ("noble", "amd64"): ["20261120"]}


def test_multipass_finds_the_image() -> None:
    """In the first download entry of the index, under the item key `disk1.img`."""
    one = one_build("released")
    assert readers.multipass_images(*tree(one)) == [one[0][0].manifest["files"][0]["sha256"]]
