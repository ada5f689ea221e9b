"""Publishing: what a reader may rely on at every instant, and what two publishers may do to each other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.errors import CloudBusy, CloudRefused, SetupWrong
from chalicelib.index.records import PublicationState
from chalicelib.index.table import Index
from chalicelib.openpgp import Signer, verify_detached
from chalicelib.streams import check, publish
from chalicelib.streams.model import INDEX_JSON, INDEX_SJSON, StreamsIndex
from chalicelib.streams.publish import VALIDITY, Published, Publisher
from tests.streams.bucket import BUCKET, Bucket
from tests.streams.values import NOW, build, let_out, make_public

IMAGES, DOWNLOADS = "com.example.cloud:daily:aws", "com.example.cloud:daily:download"


class Dead(Exception):
    """The publisher was killed."""


def run(
    bucket: Bucket, index: Index, signer: Signer, changed: set[str] | None = None, now: datetime = NOW, **options: Any
) -> Published:
    publisher = Publisher(BUCKET, index, bucket, signer, now, sleep=lambda _: None, **options)  # type: ignore[arg-type]
    return publisher.run(changed)


def read(bucket: Bucket, signer: Signer, now: datetime = NOW) -> dict[str, Any]:
    """What a strict reader gets: the verified index and the verified products of every file that it names."""
    index = check.index(bucket.read(INDEX_SJSON), signer.public_key, now=now)
    found: dict[str, Any] = {}
    for content_id, entry in index.index.items():
        tree = check.products(bucket.read(entry.path), signer.public_key, content_id, entry, now=now)
        plain, signature = bucket.read(f"{entry.stem}.json"), bucket.read(f"{entry.stem}.json.gpg")
        assert check.detached_products(plain, signature, signer.public_key, content_id, entry, now=now) == tree
        found[content_id] = tree["products"]
    return found


def generation(bucket: Bucket, signer: Signer) -> int:
    return check.index(bucket.read(INDEX_SJSON), signer.public_key, now=NOW).generation


def ids(products: dict[str, Any]) -> set[str]:
    return {
        item["id"]
        for product in products.values()
        for version in product["versions"].values()
        for item in version["items"].values()
        if "id" in item
    }


def assert_settled(bucket: Bucket, signer: Signer) -> None:
    """Everything that follows the index has caught up with it, and its pairs verify."""
    index = check.index(bucket.read(INDEX_SJSON), signer.public_key, now=NOW)
    plain = bucket.read(INDEX_JSON)
    verify_detached(plain, bucket.read(f"{INDEX_JSON}.gpg"), signer.public_key)
    assert json.loads(plain)["generation"] == index.generation
    for content_id, entry in index.index.items():
        assert json.loads(plain)["index"][content_id]["path"] == f"{entry.stem}.json"
        for suffix in ("json", "json.gpg", "sjson"):
            assert bucket.read(f"streams/v1/{content_id}.{suffix}") == bucket.read(f"{entry.stem}.{suffix}")


def test_what_is_public_is_named(bucket: Bucket, index: Index, signer: Signer) -> None:
    """One run, from nothing to a tree that verifies in all its forms."""
    make_public(index, build(), "us-east-1", "eu-west-1")
    published = run(bucket, index, signer)
    found = read(bucket, signer)
    assert set(found) == {IMAGES, DOWNLOADS}
    assert len(ids(found[IMAGES])) == 2
    assert published == Published(1, bucket.puts)
    assert_settled(bucket, signer)


def test_nothing_is_written_while_nothing_is_public(bucket: Bucket, index: Index, signer: Signer) -> None:
    """An installation without a public build has no public files."""
    index.plan(build(), {"us-east-1": PublicationState.PLANNED})
    assert run(bucket, index, signer) == Published(0, [])
    assert bucket.listing() == []


def test_the_second_run_writes_nothing(bucket: Bucket, index: Index, signer: Signer) -> None:
    """The same data, told or not what changed, is no reason to write or to count a generation."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    for changed in (None, {"daily"}, {"released"}, set[str]()):
        assert run(bucket, index, signer, changed) == Published(1, [])


def test_the_index_is_written_after_what_it_names(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Products under their hash first, each read back; then the index; then what follows it, the signed pair last."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    swap = bucket.puts.index(INDEX_SJSON)
    assert all(key.startswith("streams/v1/by-hash/") for key in bucket.puts[:swap])
    assert set(bucket.puts[:swap]) <= set(bucket.gets)
    assert bucket.puts[-2:] == [INDEX_JSON, f"{INDEX_JSON}.gpg"]


def test_files_are_named_after_their_content(bucket: Bucket, index: Index, signer: Signer) -> None:
    """The folder of a products file is the SHA-256 of its JSON text."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    for key in bucket.listing():
        if "/by-hash/" in key and key.endswith(".json"):
            assert hashlib.sha256(bucket.read(key)).hexdigest() == key.split("/")[-2]


def test_caches_are_told_what_may_be_kept(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Content-addressed files may be kept for ever, the others are asked for each time; types are set on purpose."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    for key in bucket.listing():
        head = bucket.head(key)
        assert head["CacheControl"] == ("public, max-age=31536000, immutable" if "/by-hash/" in key else "no-cache")
        assert head["ContentType"] in {"application/json", "application/pgp-signature", "text/plain; charset=utf-8"}


def test_a_reader_at_every_instant_gets_a_set_that_verifies(bucket: Bucket, index: Index, signer: Signer) -> None:
    """After every single write of a run that changes everything, the strict reader is content and sees the old or the new."""
    make_public(index, build("20261119"), "us-east-1")
    make_public(index, build("20261119", "released"), "us-east-1")
    run(bucket, index, signer)
    before = read(bucket, signer)
    make_public(index, build("20261120"), "us-east-1", "eu-west-1")
    make_public(index, build("20261120", "released"), "us-east-1")
    seen: list[dict[str, Any]] = []
    bucket.after_put = lambda _: seen.append(read(bucket, signer))
    run(bucket, index, signer)
    after = read(bucket, signer)
    assert before != after
    assert len(seen) == len(bucket.puts) - bucket.puts.index(f"{INDEX_JSON}.gpg") - 1
    swapped = seen.index(after)
    assert all(state == before for state in seen[:swapped])
    assert all(state == after for state in seen[swapped:])


def test_a_reader_with_the_old_index_still_finds_its_files(bucket: Bucket, index: Index, signer: Signer) -> None:
    """What an index named a moment ago stays fetchable."""
    make_public(index, build("20261119"), "us-east-1")
    run(bucket, index, signer)
    old = check.index(bucket.read(INDEX_SJSON), signer.public_key, now=NOW)
    make_public(index, build("20261120"), "us-east-1")
    run(bucket, index, signer)
    for content_id, entry in old.index.items():
        check.products(bucket.read(entry.path), signer.public_key, content_id, entry, now=NOW)


def test_only_what_changed_is_rendered(bucket: Bucket, index: Index, signer: Signer) -> None:
    """A file of another stream, and one of the same stream that stays as it was, keep path, generation and signature."""
    make_public(index, build(), "us-east-1", "us-gov-west-1")
    make_public(index, build(stream="released"), "us-east-1")
    run(bucket, index, signer)
    before = check.index(bucket.read(INDEX_SJSON), signer.public_key, now=NOW).index
    index.plan(build(), {"eu-west-1": PublicationState.PLANNED})
    let_out(index, build(), "eu-west-1", "ami-new")
    read_streams: list[str] = []
    whole = index.stream
    index.stream = lambda stream: (read_streams.append(stream), whole(stream))[1]  # type: ignore[method-assign,func-returns-value]
    assert run(bucket, index, signer, {"daily"}).generation == 2
    after = check.index(bucket.read(INDEX_SJSON), signer.public_key, now=NOW).index
    assert read_streams == ["daily"]
    assert {content_id for content_id in after if after[content_id] != before[content_id]} == {IMAGES}
    assert_settled(bucket, signer)


def test_a_stream_without_public_builds_leaves_the_index(bucket: Bucket, index: Index, signer: Signer) -> None:
    """What the table does not hold as public any more is not named any more."""
    make_public(index, build(), "us-east-1")
    make_public(index, build(stream="released"), "us-east-1")
    run(bucket, index, signer)
    whole = index.stream
    index.stream = lambda stream: ([], []) if stream == "daily" else whole(stream)  # type: ignore[method-assign]
    run(bucket, index, signer, {"daily"})
    assert set(read(bucket, signer)) == {"com.example.cloud:released:aws", "com.example.cloud:released:download"}


@pytest.mark.parametrize(("gone", "written"), [(timedelta(days=6), False), (timedelta(days=8), True), (VALIDITY * 9, True)])
def test_files_are_signed_anew_before_they_expire(
    bucket: Bucket, index: Index, signer: Signer, gone: timedelta, written: bool
) -> None:
    """While more than half of their time is left nothing is written; then all is, with a higher generation."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    later = NOW + gone
    published = run(bucket, index, signer, now=later)
    assert bool(published.written) is written
    assert published.generation == (2 if written else 1)
    read(bucket, signer, now=later)


def test_two_publishers_lose_nothing(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Somebody publishes another stream between a publisher's read and its swap: the loser starts over and names both."""
    other = Bucket(bucket.client)
    make_public(index, build("20261101", "held"), "us-east-1")
    run(other, index, signer)

    def meanwhile(key: str) -> None:
        if key == INDEX_SJSON:
            bucket.before_put = lambda _: None
            make_public(index, build(stream="released"), "us-east-1")
            run(other, index, signer, {"released"})

    bucket.before_put = meanwhile
    make_public(index, build(), "us-east-1")
    published = run(bucket, index, signer, {"daily"})
    streams = {content_id.split(":")[1] for content_id in read(bucket, signer)}
    assert streams == {"daily", "released", "held"}
    assert published.generation == generation(bucket, signer) == 4
    assert_settled(bucket, signer)


def test_a_table_that_was_read_too_early_is_read_again(bucket: Bucket, index: Index, signer: Signer) -> None:
    """The same stream is published by somebody else just after a publisher has read the table: the newer AMI stays named."""
    make_public(index, build("20261101"), "us-east-1")
    run(bucket, index, signer)
    index.plan(build("20261101"), {"eu-west-1": PublicationState.PLANNED})
    let_out(index, build("20261101"), "eu-west-1", "ami-first")
    whole = index.stream

    def stale(stream: str) -> Any:
        found = whole(stream)
        index.stream = whole  # type: ignore[method-assign]
        make_public(index, build(), "us-east-1")
        run(Bucket(bucket.client), index, signer, {"daily"})
        return found

    index.stream = stale  # type: ignore[method-assign]
    run(bucket, index, signer, {"daily"})
    assert len(ids(read(bucket, signer)[IMAGES])) == 3


def test_of_two_first_publishers_one_starts_over(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Where there is no index yet, two publishers do not overwrite each other either."""
    make_public(index, build(), "us-east-1")
    other = Bucket(bucket.client)

    def meanwhile(key: str) -> None:
        if key == INDEX_SJSON:
            bucket.before_put = lambda _: None
            index.plan(build(), {"eu-west-1": PublicationState.PLANNED})
            let_out(index, build(), "eu-west-1", "ami-new")
            run(other, index, signer)

    bucket.before_put = meanwhile
    assert run(bucket, index, signer).generation == 2
    assert len(ids(read(bucket, signer)[IMAGES])) == 2


def test_a_slow_publisher_takes_nothing_back(bucket: Bucket, index: Index, signer: Signer) -> None:
    """One that stalls after its swap, while the next one does all its work, leaves the newer files in their places."""
    make_public(index, build("20261119"), "us-east-1")
    other = Bucket(bucket.client)
    stalls = iter(range(100))

    def meanwhile(key: str) -> None:
        if key.startswith("streams/v1/com.") and next(stalls) == 2:
            make_public(index, build("20261120"), "us-east-1")
            run(other, index, signer)

    bucket.before_put = meanwhile
    assert run(bucket, index, signer).generation == 1
    assert generation(bucket, signer) == 2
    assert_settled(bucket, signer)


def test_a_publisher_that_always_loses_gives_up_for_now(
    bucket: Bucket, index: Index, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losing the swap again and again, or meeting another conditional write, is worth trying later."""
    monkeypatch.setattr(publish, "TRIES", 2)
    make_public(index, build(), "us-east-1")

    def lose(key: str) -> None:
        if key == INDEX_SJSON:
            raise CloudBusy("s3:put_object met another one", code="ConditionalRequestConflict")

    bucket.before_put = lose
    with pytest.raises(CloudBusy, match="2 times in a row"):
        run(bucket, index, signer)


def test_a_refusal_of_s3_is_told(bucket: Bucket, index: Index, signer: Signer) -> None:
    """What is no lost race passes through: it is not tried again."""
    make_public(index, build(), "us-east-1")

    def deny(key: str) -> None:
        if key == INDEX_SJSON:
            raise CloudRefused("s3:put_object answered AccessDenied", code="AccessDenied")

    bucket.before_put = deny
    with pytest.raises(CloudRefused, match="AccessDenied"):
        run(bucket, index, signer)


def test_a_publisher_may_die_at_any_write(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Killed before or after any write of a change, the set verifies, and the next run leaves everything settled."""
    make_public(index, build("20261101"), "us-east-1")
    run(bucket, index, signer)
    writes = 9  # three forms of a file under its hash and under its name, the index and its plain pair
    for number in range(writes + 1):
        index.plan(build("20261101"), {f"xx-east-{number}": PublicationState.PLANNED})
        let_out(index, build("20261101"), f"xx-east-{number}", f"ami-{number}")
        left = iter(range(number))

        def die(_: str, left: Any = left) -> None:
            if next(left, None) is None:
                raise Dead

        bucket.before_put = die
        if number < writes:
            with pytest.raises(Dead):
                run(bucket, index, signer, {"daily"})
        else:
            run(bucket, index, signer, {"daily"})
        bucket.before_put = lambda _: None
        read(bucket, signer)
        run(bucket, index, signer, {"daily"})
        assert f"ami-{number}" in ids(read(bucket, signer)[IMAGES])
        assert_settled(bucket, signer)
        assert run(bucket, index, signer).written == []


def test_an_index_that_was_tampered_with_is_replaced_whole(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Nothing is carried over from an index that does not verify, even if only another stream changed."""
    make_public(index, build(), "us-east-1")
    make_public(index, build(stream="released"), "us-east-1")
    run(bucket, index, signer)
    forged = bucket.read(INDEX_SJSON).replace(b"ec2.us-east-1.amazonaws.com", b"ec2.us-east-1.attacker.com", 1)
    bucket.client.put_object(Bucket=BUCKET, Key=INDEX_SJSON, Body=forged)
    run(bucket, index, signer, {"daily"})
    assert set(read(bucket, signer)) == {
        f"com.example.cloud:{stream}:{kind}" for stream in ("daily", "released") for kind in ("aws", "download")
    }
    assert_settled(bucket, signer)


def test_a_false_index_goes_even_if_nothing_is_public(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Somebody's index in the place of ours is replaced by an empty one."""
    bucket.client.put_object(Bucket=BUCKET, Key=INDEX_SJSON, Body=b"not ours")
    assert run(bucket, index, signer).generation == 1
    assert read(bucket, signer) == {}


@pytest.mark.parametrize("suffix", ["json", "json.gpg", "sjson"])
def test_a_file_that_was_removed_comes_back(bucket: Bucket, index: Index, signer: Signer, suffix: str) -> None:
    """A products file of which a form is missing is published anew, at the latest with the next refresh."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    (gone,) = [key for key in bucket.listing() if "/by-hash/" in key and key.endswith(f"{IMAGES}.{suffix}")]
    bucket.client.delete_object(Bucket=BUCKET, Key=gone)
    assert run(bucket, index, signer).generation == 2
    read(bucket, signer)
    assert_settled(bucket, signer)


def test_a_new_key_signs_everything_anew(bucket: Bucket, index: Index, signer: Signer, other_signer: Signer) -> None:
    """After a change of keys no file is left that only the old key's holders can check."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, other_signer)
    published = run(bucket, index, signer, {"released"})
    assert published.generation == 2
    read(bucket, signer)
    assert_settled(bucket, signer)


def test_a_counter_that_was_set_back_is_told(bucket: Bucket, index: Index, signer: Signer) -> None:
    """After the table was restored from a backup, no generation is handed out twice."""
    make_public(index, build(), "us-east-1")
    for _ in range(4):
        index.next_generation()
    run(bucket, index, signer)
    key = {"pk": {"S": "#streams"}, "sk": {"S": "#generation"}}
    index.client.delete_item(TableName=index.table, Key=key)
    make_public(index, build("20261121"), "us-east-1")
    with pytest.raises(SetupWrong, match=r"handed out generation 1, but streams/v1/index\.sjson has 5: set the attribute"):
        run(bucket, index, signer)


def test_what_does_not_come_back_is_not_named(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Other bytes in the bucket than were written, and the index stays as it is."""
    make_public(index, build(), "us-east-1")

    def corrupt(key: str) -> None:
        if key.endswith(".sjson"):
            bucket.client.put_object(Bucket=BUCKET, Key=key, Body=bucket.read(key).replace(b"ami-", b"amj-"))

    bucket.after_put = corrupt
    with pytest.raises(SetupWrong, match="does not come back as it was"):
        run(bucket, index, signer)
    assert not bucket.has(INDEX_SJSON)


def test_the_same_data_makes_the_same_bytes(bucket: Bucket, index: Index, signer: Signer) -> None:
    """Rendered at another time by another publisher, the content and its `updated` are the same."""
    make_public(index, build(), "us-east-1")
    run(bucket, index, signer)
    first = json.loads(bucket.read(INDEX_JSON))
    run(bucket, index, signer, now=NOW + VALIDITY)
    second = json.loads(bucket.read(INDEX_JSON))
    for tree in (first, second):
        for part in (tree, *tree["index"].values()):
            for stamp in ("generation", "expires"):
                del part[stamp]
            part.pop("path", None)
    assert first == second


def test_an_index_of_a_later_version_is_carried_along(signer: Signer) -> None:
    """Keys that this version does not know survive in the entries that it carries over."""
    tree = {
        "format": "index:1.0",
        "updated": "Fri, 20 Nov 2026 10:00:00 +0000",
        "generation": 7,
        "expires": "2026-12-04T12:00:00Z",
        "index": {
            "a:daily:aws": {
                "datatype": "image-ids",
                "format": "products:1.0",
                "path": f"streams/v1/by-hash/{'0' * 64}/a:daily:aws.sjson",
                "products": [],
                "updated": "Fri, 20 Nov 2026 10:00:00 +0000",
                "generation": 7,
                "expires": "2026-12-04T12:00:00Z",
                "from_the_future": True,
            }
        },
    }
    signed = signer.clearsign(json.dumps(tree, indent=1).encode() + b"\n")
    found = check.index(signed, signer.public_key, now=NOW)
    assert json.loads(found.text("sjson")) == tree
    assert replace(found.index["a:daily:aws"].stamp, generation=8).generation == 8
    assert isinstance(found, StreamsIndex)
