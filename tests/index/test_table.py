"""The table: what is written holds only for what was read, and nothing is written twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from chalicelib import aws
from chalicelib.errors import Claimed, CloudBusy, SerialTaken, SetupWrong
from chalicelib.index import table
from chalicelib.index.records import (
    BuildState,
    Gate,
    Kind,
    Lineage,
    Method,
    Parent,
    Phase,
    PinnedFile,
    PublicationState,
    Rollout,
    RolloutState,
    Upload,
    UploadState,
    Wave,
)
from chalicelib.index.table import Index
from chalicelib.names import BuildId
from tests.index.values import BUILD, TABLE, Clock, empty_index, record

P = PublicationState
WRITES = ("put_item", "update_item", "transact_write_items", "delete_item")


class Watched:
    """A client that counts writes and, before one, lets somebody else go first."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.region = client.region
        self.writes: list[str] = []
        self.before_write: list[Callable[[], object]] = []

    def __getattr__(self, action: str) -> Any:
        def call(**parameters: Any) -> Any:
            if action in WRITES:
                if self.before_write:
                    self.before_write.pop(0)()
                self.writes.append(action)
            return getattr(self.client, action)(**parameters)

        return getattr(self.client, action) if action == "pages" else call


@pytest.fixture
def watched(index: Index) -> Index:
    """The same index through a watched client."""
    return Index(TABLE, Watched(index.client), now=index.now)  # type: ignore[arg-type]


def watch(index: Index) -> Watched:
    assert isinstance(index.client, Watched)
    return index.client


def test_a_build_comes_back_as_it_was_recorded(index: Index) -> None:
    """Numbers, booleans, empty lists and sizes beyond 32 bits survive the table."""
    assert index.record_build(record()) == record()
    assert index.build(BUILD) == record()
    assert index.build(replace(BUILD, serial="20261121")) is None
    assert index.streams() == ["daily"]


def test_a_build_is_recorded_exactly_once(watched: Index) -> None:
    """The same manifest again, whatever its time of arrival, returns what is stored and writes nothing."""
    first = watched.record_build(record())
    before = list(watch(watched).writes)
    assert watched.record_build(record(created="2026-11-21T00:00:00Z")) == first
    assert watch(watched).writes == before


def test_another_content_does_not_get_the_serial(index: Index) -> None:
    """A serial that is recorded is not replaced by different content."""
    index.record_build(record())
    with pytest.raises(SerialTaken, match=r"20261120 was recorded on 2026-11-20T09:00:00Z with different content"):
        index.record_build(record(digest="cd" * 32))
    assert index.build(BUILD) == record()


def test_of_two_uploads_at_once_one_gets_the_serial(index: Index, watched: Index) -> None:
    """The race for a serial is decided by the table, not by who looked first."""
    watch(watched).before_write = [lambda: None, lambda: index.record_build(record(digest="cd" * 32))]
    with pytest.raises(SerialTaken):
        watched.record_build(record())
    assert index.build(BUILD) == record(digest="cd" * 32)


def test_a_refused_build_makes_room(index: Index) -> None:
    """After a refusal another upload gets the serial, and nothing of the refused one is taken over."""
    index.record_build(record())
    index.plan(BUILD, {"us-east-1": P.PLANNED, "eu-west-1": P.PLANNED})
    index.advance(BUILD, "us-east-1", P.WRITING, snapshot_id="snap-of-refused-files")
    index.set_build(BUILD, state=BuildState.REFUSED, reason="Wrong SHA-256.")
    assert index.record_build(record()).state is BuildState.REFUSED, "the same files are still refused"

    better = record(digest="cd" * 32)
    assert index.record_build(better) == better
    assert index.publications(BUILD) == []
    with pytest.raises(SetupWrong, match="no publication"):
        index.advance(BUILD, "us-east-1", P.REGISTERED, image_id="ami-late")


def test_the_same_manifest_with_better_files_makes_room_too(index: Index) -> None:
    """The right image uploaded beside the same manifest is another upload."""
    index.record_build(record())
    index.set_build(BUILD, state=BuildState.REFUSED, reason="Wrong SHA-256.")
    mended = record(files=(PinnedFile("disk.img", "x/disk.img", "v3", 1),))
    assert index.record_build(mended).state is BuildState.RECORDED


def test_planning_leaves_alone_what_is_there(watched: Index) -> None:
    """Planning again creates what is missing, plans what was skipped and is enabled now, and touches nothing else."""
    watched.plan(BUILD, {"us-east-1": P.PLANNED, "af-south-1": P.SKIPPED})
    watched.advance(BUILD, "us-east-1", P.REGISTERED, image_id="ami-1")
    watched.plan(BUILD, {"us-east-1": P.PLANNED, "af-south-1": P.PLANNED, "eu-west-1": P.PLANNED})
    states = {each.region: each.state for each in watched.publications(BUILD)}
    assert states == {"us-east-1": P.REGISTERED, "af-south-1": P.PLANNED, "eu-west-1": P.PLANNED}

    before = list(watch(watched).writes)
    watched.plan(BUILD, {"us-east-1": P.PLANNED, "af-south-1": P.SKIPPED, "eu-west-1": P.PLANNED})
    assert watch(watched).writes == before


def test_a_repeated_advance_writes_nothing(watched: Index) -> None:
    """The second time the same is said, and whatever is said late, no write is made."""
    watched.plan(BUILD, {"us-east-1": P.PLANNED})
    staged = watched.advance(BUILD, "us-east-1", P.STAGED, snapshot_id="snap-1")
    before = list(watch(watched).writes)
    assert watched.advance(BUILD, "us-east-1", P.STAGED, snapshot_id="snap-1") == staged
    assert watched.advance(BUILD, "us-east-1", P.WRITING, snapshot_id="snap-0") == staged
    assert watch(watched).writes == before


def test_a_lost_race_is_read_again_and_decided(index: Index, watched: Index) -> None:
    """Somebody stages between a writer's read and its write: the writer's `registered` is late then."""
    index.plan(BUILD, {"us-east-1": P.PLANNED})
    watch(watched).before_write = [lambda: index.advance(BUILD, "us-east-1", P.STAGED, image_id="ami-1")]
    assert watched.advance(BUILD, "us-east-1", P.REGISTERED, image_id="ami-2").state is P.STAGED
    assert index.publication(BUILD, "us-east-1").image_id == "ami-1"


def test_a_lost_race_keeps_both_changes(index: Index, watched: Index) -> None:
    """A release and the opening of downloads at the same moment are both on record."""
    index.record_build(record())
    watch(watched).before_write = [lambda: index.set_build(BUILD, released_by="arn:one")]
    after = watched.set_build(BUILD, downloads=True)
    assert (after.released_by, bool(after.downloads_at)) == ("arn:one", True)


def test_many_writers_at_once_lose_nothing(cloud: LocalCloud, clock: Clock) -> None:
    """Each of eight threads adds its own fact to one build; all are there in the end.

    On the embedded cloud, whose conditional writes are atomic as DynamoDB's are; moto's alone are not.
    """
    index = empty_index(clock, aws.Client("dynamodb", cloud.region, cloud.client("dynamodb")))
    index.record_build(record())
    index.plan(BUILD, {"us-east-1": P.PLANNED})
    index.set_build(BUILD, state=BuildState.PUBLISHING)
    changes: list[Callable[[], object]] = [
        lambda: index.set_build(BUILD, reason="eu-west-1 is slow"),
        lambda: index.set_build(BUILD, released_by="arn:one"),
        lambda: index.set_build(BUILD, downloads=True),
        lambda: index.set_build(BUILD, state=BuildState.PUBLIC),
        *[lambda: index.advance(BUILD, "us-east-1", P.STAGED)] * 4,
    ]
    threads = [threading.Thread(target=change) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = index.build(BUILD)
    assert after is not None
    assert (after.state, after.reason) == (BuildState.PUBLIC, "eu-west-1 is slow")
    assert (after.released_by, bool(after.downloads_at)) == ("arn:one", True)
    assert index.publication(BUILD, "us-east-1").state is P.STAGED


def test_a_writer_that_always_loses_is_busy(index: Index, watched: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losing again and again is worth trying later, not for ever."""
    monkeypatch.setattr(table, "TRIES", 3)
    index.record_build(record())
    watch(watched).before_write = [lambda n=n: index.set_build(BUILD, reason=f"other {n}") for n in range(3)]  # type: ignore[misc]
    with pytest.raises(CloudBusy, match="Too many writers"):
        watched.set_build(BUILD, released_by="arn:one")


def test_what_the_index_does_not_know_is_said(index: Index) -> None:
    """A build or publication that is not there is an error that says what to do."""
    with pytest.raises(SetupWrong, match="upload its manifest first"):
        index.set_build(BUILD, state=BuildState.PUBLIC)
    with pytest.raises(SetupWrong, match="retry the build"):
        index.publication(BUILD, "us-east-1")


def test_a_stream_is_read_whole_and_in_order(index: Index) -> None:
    """More items than fit a page of DynamoDB, builds ordered by the numbers of their serials, other streams left out."""
    padding = {"format": "broadside-build:1", "padding": "x" * 300_000}
    for serial in ("20261120.10", "20261120.9", "20261120", "20261119"):
        build = replace(BUILD, serial=serial)
        index.record_build(record(build, manifest=padding))
        index.plan(build, {"us-east-1": P.PLANNED, "eu-west-1": P.PLANNED})
    index.record_build(record(replace(BUILD, stream="released")))

    builds, publications = index.stream("daily")
    assert [each.id.serial for each in builds] == ["20261119", "20261120", "20261120.9", "20261120.10"]
    assert index.builds("daily") == builds
    assert [(each.build.serial, each.region) for each in publications][-2:] == [
        ("20261120.10", "eu-west-1"),
        ("20261120.10", "us-east-1"),
    ]
    assert len(publications) == 8
    assert index.streams() == ["daily", "released"]


def test_a_serial_that_begins_like_another_is_another_build(index: Index) -> None:
    """The publications of 20261120.1 are not those of 20261120, nor the other way round."""
    other = replace(BUILD, serial="20261120.1")
    index.plan(BUILD, {"us-east-1": P.PLANNED})
    index.plan(other, {"eu-west-1": P.PLANNED})
    assert [each.region for each in index.publications(BUILD)] == ["us-east-1"]
    assert [each.region for each in index.publications(other)] == ["eu-west-1"]


def test_generations_only_grow(index: Index) -> None:
    """No number is handed out twice, and the counters are not streams."""
    index.touch_refresh()
    assert [index.next_generation() for _ in range(3)] == [1, 2, 3]
    assert index.streams() == []


def test_items_can_be_read_in_the_console(index: Index) -> None:
    """Plain attributes: text, whole numbers, maps; what is empty is left out."""
    index.record_build(record())
    index.plan(BUILD, {"us-east-1": P.PLANNED})
    items = {item["sk"]["S"]: item for item in index.client.scan(TableName=TABLE)["Items"] if item["pk"]["S"] == "daily"}
    build = items["com.example.cloud:server:24.04:amd64/20261120"]
    assert build["state"] == {"S": "recorded"}
    assert build["manifest"]["M"]["files"]["L"][0]["M"]["size"] == {"N": "5368709120"}
    assert "reason" not in build
    publication = items["com.example.cloud:server:24.04:amd64/20261120/us-east-1"]
    assert publication["times"]["M"].keys() == {"planned"}
    assert {next(iter(value)) for item in items.values() for value in item.values()} == {"S", "N", "M", "L"}


def test_a_note_made_in_the_console_stays(index: Index) -> None:
    """An attribute that is not ours survives our changes, whether the item has a revision or was made by hand."""
    index.record_build(record())
    key = {"pk": {"S": "daily"}, "sk": {"S": f"{BUILD.product}/{BUILD.serial}"}}
    index.client.update_item(
        TableName=TABLE,
        Key=key,
        UpdateExpression="SET note = :note REMOVE revision",
        ExpressionAttributeValues={":note": {"S": "Ask Ada."}},
    )
    index.set_build(BUILD, released_by="arn:one")
    index.set_build(BUILD, downloads=True)
    assert index.client.get_item(TableName=TABLE, Key=key)["Item"]["note"] == {"S": "Ask Ada."}


def test_uploads_are_remembered_by_key_and_version(index: Index) -> None:
    """The sweep asks for a key, ingest for one version of it."""
    upload = Upload("a/b/build.sjson", "v1", UploadState.WAITING, "disk.img is not there yet.", "2026-11-20T09:00:00Z")
    index.put_upload(upload)
    assert index.upload(upload.key) == index.upload(upload.key, "v1") == upload
    assert index.upload(upload.key, "v2") is None
    assert index.upload("other") is None
    accepted = Upload(upload.key, "v1", UploadState.ACCEPTED, "", "2026-11-20T09:01:00Z", build=str(BUILD))
    index.put_upload(accepted)
    index.put_upload(upload)
    assert list(index.uploads()) == [accepted]
    assert BuildId.parse(accepted.build) == BUILD


def test_time_is_told_by_the_clock(index: Index) -> None:
    """Seconds since a time of the index, by the index's own clock."""
    then = index.now()
    assert index.seconds_since(then) == 1.0


def lineage(product: str, region: str, serial: str) -> Lineage:
    parent = Parent("snap-" + serial, serial, "ab" * 32)
    return Lineage(product, region, parent, 5 * 2**30, zeros_skipped=True, updated="2026-11-20T09:00:00Z")


def test_lineages_are_found_by_product(index: Index) -> None:
    """One a Region, as it was put; a product whose name begins like another's is another."""
    product = BUILD.product
    here, there = lineage(product, "us-east-1", "20261120"), lineage(product, "eu-west-1", "20261119")
    for each in (here, there, lineage(f"{product}2", "us-east-1", "20261121")):
        index.put_lineage(each)
    assert index.lineages(product) == {"us-east-1": here, "eu-west-1": there}
    assert index.lineages("com.example.cloud:desktop:24.04:amd64") == {}
    assert index.streams() == []


def test_a_late_build_does_not_take_the_lineage_back(watched: Index) -> None:
    """What is older, and what is the same again, is not even written."""
    newest = lineage(BUILD.product, "us-east-1", "20261121")
    watched.put_lineage(newest)
    before = list(watch(watched).writes)
    watched.put_lineage(lineage(BUILD.product, "us-east-1", "20261120"))
    watched.put_lineage(replace(newest, updated="2026-11-22T09:00:00Z"))
    assert watch(watched).writes == before
    assert watched.lineages(BUILD.product) == {"us-east-1": newest}


def test_the_way_of_a_publication_comes_back_as_it_was_recorded(index: Index) -> None:
    """Method, parent and counts survive the table, and can be forgotten."""
    index.plan(BUILD, {"us-east-1": P.PLANNED})
    parent = Parent("snap-1", "20261119", "cd" * 32)
    index.advance(BUILD, "us-east-1", P.WRITING, method=Method.WRITE, parent=parent)
    index.advance(BUILD, "us-east-1", P.WRITING, snapshot_id="snap-2", blocks_written=3, blocks=60)
    found = index.publication(BUILD, "us-east-1")
    assert (found.method, found.parent, found.blocks_written, found.blocks) == (Method.WRITE, parent, 3, 60)
    index.advance(
        BUILD, "us-east-1", P.PLANNED, attempt=1, method=Method.COPY, parent=None, snapshot_id="", blocks_written=0, blocks=0
    )
    found = index.publication(BUILD, "us-east-1")
    assert (found.method, found.parent, found.blocks_written, found.blocks) == (Method.COPY, None, 0, 0)


def test_a_build_can_be_claimed_and_freed(index: Index) -> None:
    """By one at a time; freeing what somebody else has claimed does no harm."""
    index.record_build(record())
    assert index.claim(BUILD, "release a").claimed_by == "release a"
    with pytest.raises(Claimed, match="release a"):
        index.claim(BUILD, "release b")
    assert index.free(BUILD, "release b").claimed_by == "release a"
    index.free(BUILD, "release a")
    stored = index.build(BUILD)
    assert stored is not None
    assert stored.claimed_by == ""
    assert index.claim(BUILD, "release b").claimed_by == "release b"


def test_of_two_claims_at_once_one_wins(index: Index, watched: Index) -> None:
    """Whoever writes second reads the first one's claim."""
    index.record_build(record())
    watch(watched).before_write = [lambda: index.claim(BUILD, "release a")]
    with pytest.raises(Claimed):
        watched.claim(BUILD, "release b")


def test_a_region_is_opened_and_taken_back(watched: Index) -> None:
    """Said twice, nothing is written."""
    watched.plan(BUILD, {"us-east-1": P.PLANNED})
    opened = watched.open_region(BUILD, "us-east-1")
    watched.advance(BUILD, "us-east-1", P.PUBLIC, image_id="ami-1")
    back = watched.take_back(BUILD, "us-east-1", P.WITHDRAWN, "It does not boot.")
    private = watched.made_private(BUILD, "us-east-1")
    assert (bool(opened.released_at), back.state, back.released_at) == (True, P.WITHDRAWN, "")
    assert watched.publication(BUILD, "us-east-1") == private
    before = list(watch(watched).writes)
    watched.open_region(BUILD, "us-east-1")
    watched.take_back(BUILD, "us-east-1", P.WITHDRAWN, "Again.")
    watched.made_private(BUILD, "us-east-1")
    assert watch(watched).writes == before


def rollout(name: str = "24.04.1", **changes: Any) -> Rollout:
    waves = (Wave("canary", ("eu-west-1",), 1800, Gate("alarm", "web-errors")), Wave("rest", ("ap-south-1", "us-east-1")))
    stamp = "2026-11-20T09:00:00Z"
    made = Rollout(name, Kind.RELEASE, (BUILD, replace(BUILD, serial="20261121")), waves, "arn:one", stamp, stamp)
    return replace(made, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"at": "2026-11-21T09:00:00Z", "undo": "all", "state": RolloutState.SCHEDULED},
        {"kind": Kind.WITHDRAWAL, "reason": "It does not boot.", "delete": True, "waves": (Wave("all", ("us-east-1",)),)},
        {"state": RolloutState.WAITING, "phase": Phase.GATE, "wave": 1, "since": "t", "wish": "pause", "token": "x" * 900},
    ],
)
def test_a_rollout_comes_back_as_it_was_recorded(index: Index, changes: dict[str, Any]) -> None:
    """Waves, gates and builds in their order, whatever it is at."""
    wanted = rollout(**changes)
    assert index.begin_rollout(wanted) == wanted
    assert index.rollout(wanted.name) == wanted
    assert index.rollout("another") is None
    assert index.streams() == []


def test_a_rollout_is_recorded_once_and_changed_in_place(watched: Index) -> None:
    """A second one of its name is the first; a change that changes nothing is not written."""
    watched.begin_rollout(rollout())
    assert watched.begin_rollout(rollout(by="arn:two")) == rollout()
    changed = watched.change_rollout("24.04.1", lambda each: replace(each, wave=1))
    assert changed == watched.rollout("24.04.1")
    assert (changed.wave, changed.updated > rollout().updated) == (1, True)
    before = list(watch(watched).writes)
    assert watched.change_rollout("24.04.1", lambda each: each) == changed
    assert watch(watched).writes == before
    assert watched.change_rollout("24.04.1", lambda each: replace(each, wave=0, token="")).wave == 0
    with pytest.raises(SetupWrong, match="no release or withdrawal other"):
        watched.change_rollout("other", lambda each: each)


def test_rollouts_are_listed_the_newest_first(index: Index) -> None:
    """By when they were made, not by their names."""
    for name, created in (("b", "2026-11-20T09:00:00Z"), ("a", "2026-11-21T09:00:00Z"), ("c", "2026-11-19T09:00:00Z")):
        index.begin_rollout(rollout(name, created=created))
    assert [each.name for each in index.rollouts()] == ["a", "b", "c"]


def test_the_history_of_a_build_is_told_in_order(index: Index) -> None:
    """Of that build alone, though another's serial begins like it."""
    other = replace(BUILD, serial="20261120.1")
    index.note(BUILD, "release a begins", "arn:one")
    index.note(other, "release b begins", "arn:one")
    index.note(BUILD, "release a is failed", "arn:one", "It was aborted.")
    events = index.history(BUILD)
    assert [(each.what, each.by, each.reason) for each in events] == [
        ("release a begins", "arn:one", ""),
        ("release a is failed", "arn:one", "It was aborted."),
    ]
    assert {each.build for each in events} == {BUILD}
    assert [each.what for each in index.history(other)] == ["release b begins"]
    assert index.streams() == []


def publish(index: Index, serial: str, region: str = "us-east-1", **changes: str) -> BuildId:
    """A build that is public in one Region."""
    build = replace(BUILD, serial=serial, **changes)
    index.plan(build, {region: P.PLANNED})
    index.open_region(build, region)
    index.advance(build, region, P.PUBLIC, image_id=f"ami-{serial}")
    return build


def newest(index: Index, besides: BuildId = BUILD, **more: bool) -> str:
    found = index.newest_public(besides, "us-east-1", **more)
    return found.build.serial if found else ""


def test_the_newest_public_build_is_found_by_its_numbers(index: Index) -> None:
    """20261119.10 comes after 20261119.9, and the build that asks does not count."""
    assert newest(index) == ""
    for serial in ("20261101", "20261119.9", "20261119.10", "20261119.2", "20261119"):
        publish(index, serial)
    publish(index, BUILD.serial)
    assert newest(index) == "20261119.10"
    assert newest(index, replace(BUILD, serial="20261119.10")) == BUILD.serial


def test_only_the_same_product_stream_and_region_count(index: Index) -> None:
    """And only what is public there."""
    publish(index, "20261201", stream="released")
    publish(index, "20261202", product="com.example.cloud:server:24.04:arm64")
    publish(index, "20261203", "eu-west-1")
    withdrawn = publish(index, "20261204")
    index.take_back(withdrawn, "us-east-1", P.WITHDRAWN, "It does not boot.")
    publish(index, "20261118")
    assert newest(index) == "20261118"


def test_what_is_about_to_be_public_counts_where_it_is_asked_for(index: Index) -> None:
    """It is staged and its turn has come; what is held does not count."""
    publish(index, "20261118")
    for serial, turn in (("20261121", True), ("20261122", False)):
        build = replace(BUILD, serial=serial)
        index.plan(build, {"us-east-1": P.PLANNED})
        index.advance(build, "us-east-1", P.STAGED, image_id="ami")
        if turn:
            index.open_region(build, "us-east-1")
    assert newest(index) == "20261118"
    assert newest(index, or_about_to_be=True) == "20261121"
