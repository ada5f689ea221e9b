"""The index table: consistent reads, and writes that hold only for what was read.

Every change reads the item, lets :mod:`chalicelib.index.transitions` decide, and writes under the condition that nobody wrote
in between; who lost that race reads again and decides anew.  What changes nothing is not written.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Unpack

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from chalicelib import aws
from chalicelib.errors import CloudBusy, CloudRefused, SerialTaken, SetupWrong
from chalicelib.index import items, transitions
from chalicelib.index.items import Item, Key
from chalicelib.index.records import (
    BuildRecord,
    BuildState,
    Event,
    Lineage,
    Publication,
    PublicationState,
    Rollout,
    Upload,
)
from chalicelib.names import BuildId

#: Lost races in a row after which a writer gives up for now.  Forty Regions at once do not come near.
TRIES = 30

#: DynamoDB's codes for a condition that did not hold, alone and in a transaction.
LOST = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException"})


def utc_now() -> str:
    """The time as the index writes it: 2026-11-20T09:30:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Index:
    """The table ``table``, reached through a DynamoDB ``client``; ``now`` tells the time as :func:`utc_now` does.

    Every method may raise :class:`CloudBusy` and :class:`CloudRefused`.
    """

    def __init__(self, table: str, client: aws.Client, now: Callable[[], str] = utc_now) -> None:
        self.table = table
        self.client = client
        self.now = now

    def seconds_since(self, then: str) -> float:
        """Seconds from ``then``, a time of the index, until now."""
        return (datetime.fromisoformat(self.now()) - datetime.fromisoformat(then)).total_seconds()

    # Builds

    def record_build(self, record: BuildRecord) -> BuildRecord:
        """Record a build once.

        A refused build makes room for another upload of its serial; the publications it had go with it, so that nothing
        that was made from the refused files is taken for the new build's.

        Returns:
            what the index holds: ``record``, or what was recorded before of the same digest.

        Raises:
            SerialTaken: the serial was recorded with another digest.
        """
        self._register_stream(record.id.stream)
        for _ in self._tries(str(record.id)):
            item = self._get(items.build_key(record.id))
            if item is not None:
                stored = items.build_record(item)
                if stored.digest == record.digest and (stored.state is not BuildState.REFUSED or stored.files == record.files):
                    return stored
                if stored.state is not BuildState.REFUSED:
                    raise SerialTaken(
                        f"{record.id} was recorded on {stored.created} with different content: "
                        "what is published is not replaced; upload it under a new serial."
                    )
            if self._replace(item, items.build_item(record), self._publication_items(record.id)):
                return record
        raise AssertionError("unreachable")  # pragma: no cover - _tries raises

    def build(self, build: BuildId) -> BuildRecord | None:
        item = self._get(items.build_key(build))
        return None if item is None else items.build_record(item)

    def set_build(
        self,
        build: BuildId,
        *,
        state: BuildState | None = None,
        reason: str | None = None,
        released_by: str | None = None,
        downloads: bool | None = None,
        disk_size: int = 0,
    ) -> BuildRecord:
        """Change a build as :func:`chalicelib.index.transitions.set_build` decides; None leaves a field alone.

        Returns:
            the build as it is then.

        Raises:
            SetupWrong: there is no such build.
            BuildRefused: a refused build is to be released.
        """

        return self._change_build(
            build,
            lambda stored: transitions.set_build(
                stored,
                now=self.now(),
                state=state,
                reason=reason,
                released_by=released_by,
                downloads=downloads,
                disk_size=disk_size,
            ),
        )

    def claim(self, build: BuildId, who: str) -> BuildRecord:
        """Work on letting the build out or taking it back, alone.

        Args:
            who: what errors call it, such as ``release 24.04.1``; the same may claim the build again.

        Raises:
            Claimed: somebody else does.
            SetupWrong: there is no such build.
        """
        return self._change_build(build, lambda stored: transitions.claim(stored, who, now=self.now()))

    def free(self, build: BuildId, who: str) -> BuildRecord:
        """Have done with the build; harmless where somebody else has claimed it since."""
        return self._change_build(build, lambda stored: transitions.free(stored, who, now=self.now()))

    def _change_build(self, build: BuildId, change: Callable[[BuildRecord], BuildRecord]) -> BuildRecord:
        def decide(item: Item | None) -> Item:
            if item is None:
                raise SetupWrong(f"The index has no build {build}: upload its manifest first.")
            return items.build_item(change(items.build_record(item)))

        return items.build_record(self._change(items.build_key(build), decide))

    def builds(self, stream: str) -> list[BuildRecord]:
        """The builds of a stream, ordered by product and serial."""
        return self.stream(stream)[0]

    # Publications

    def plan(self, build: BuildId, regions: Mapping[str, PublicationState]) -> None:
        """Create the publications that do not exist; one that was skipped is planned once its Region is enabled."""
        there = {publication.region: publication.state for publication in self.publications(build)}
        for region, state in regions.items():
            enabled = there.get(region) is PublicationState.SKIPPED and state is not PublicationState.SKIPPED
            if region not in there or enabled:
                self._change(items.publication_key(build, region), self._planned(build, region, state))

    def _planned(self, build: BuildId, region: str, state: PublicationState) -> Callable[[Item | None], Item]:
        def decide(item: Item | None) -> Item:
            now = self.now()
            if item is None:
                made = Publication(build, region, updated=now, state=state, times={str(state): now})
                return items.publication_item(made)
            stored = items.publication(item)
            if stored.state is PublicationState.SKIPPED and state is PublicationState.PLANNED:
                stored = transitions.advance(stored, state, now=now)
            return items.publication_item(stored)

        return decide

    def publication(self, build: BuildId, region: str) -> Publication:
        """One publication.

        Raises:
            SetupWrong: the build is not planned for that Region.
        """
        return items.publication(self._planned_item(self._get(items.publication_key(build, region)), build, region))

    def publications(self, build: BuildId) -> list[Publication]:
        """The publications of a build, ordered by Region."""
        return [items.publication(item) for item in self._publication_items(build)]

    def newest_public(self, besides: BuildId, region: str, *, or_about_to_be: bool = False) -> Publication | None:
        """The newest other build of the product and stream that is public in the Region, or whose turn has come.

        The newest ones are read first, and no more than are needed: serials sort as text but for their counts within a day.
        """
        found: list[Publication] = []
        prefix = f"{besides.product}/"
        for item in self._query("pk = :pk AND begins_with(sk, :sk)", backwards=True, pk=besides.stream, sk=prefix):
            if found and item["serial"][:8] != found[0].build.serial[:8]:
                break
            if items.is_publication(item) and item["region"] == region and item["serial"] != besides.serial:
                publication = items.publication(item)
                its_turn = or_about_to_be and publication.state is PublicationState.STAGED and publication.released_at
                found += [publication] if publication.state is PublicationState.PUBLIC or its_turn else []
        return max(found, key=lambda each: each.build.sort_key, default=None)

    def advance(
        self,
        build: BuildId,
        region: str,
        state: PublicationState,
        *,
        reason: str = "",
        **facts: Unpack[transitions.Facts],
    ) -> Publication:
        """Say that a publication has arrived at ``state``, with what is known by then.

        :func:`chalicelib.index.transitions.advance` explains the arguments and decides; a late writer changes nothing.

        Returns:
            the publication as it is then.

        Raises:
            SetupWrong: the build is not planned for that Region.
        """

        return self._change_publication(
            build, region, lambda stored: transitions.advance(stored, state, now=self.now(), reason=reason, **facts)
        )

    def open_region(self, build: BuildId, region: str) -> Publication:
        """Say that the Region's turn to go public has come: once it is staged, or now if it is."""
        return self._change_publication(build, region, lambda stored: transitions.open_region(stored, now=self.now()))

    def take_back(self, build: BuildId, region: str, state: PublicationState, reason: str) -> Publication:
        """Take a publication back, as :func:`chalicelib.index.transitions.take_back` decides."""
        return self._change_publication(
            build, region, lambda stored: transitions.take_back(stored, state, now=self.now(), reason=reason)
        )

    def made_private(self, build: BuildId, region: str) -> Publication:
        """Note that nobody else has the AMI of a publication that was taken back."""
        return self._change_publication(build, region, lambda stored: transitions.made_private(stored, now=self.now()))

    def _change_publication(self, build: BuildId, region: str, change: Callable[[Publication], Publication]) -> Publication:
        def decide(item: Item | None) -> Item:
            return items.publication_item(change(items.publication(self._planned_item(item, build, region))))

        return items.publication(self._change(items.publication_key(build, region), decide))

    @staticmethod
    def _planned_item(item: Item | None, build: BuildId, region: str) -> Item:
        if item is None:
            raise SetupWrong(f"The index has no publication of {build} in {region}: retry the build, which plans its Regions.")
        return item

    # Lineages

    def put_lineage(self, lineage: Lineage) -> None:
        """Let the product's next build in that Region chain to this snapshot, unless a newer one is there."""

        def decide(item: Item | None) -> Item:
            stored = None if item is None else items.lineage(item)
            return items.lineage_item(transitions.follow(stored, lineage))

        self._change(items.lineage_key(lineage.product, lineage.region), decide)

    def lineages(self, product: str) -> dict[str, Lineage]:
        """What a build of the product can chain to, by Region."""
        found = self._query("pk = :pk AND begins_with(sk, :sk)", pk=items.LINEAGE, sk=f"{product}/")
        return {lineage.region: lineage for lineage in map(items.lineage, found)}

    # Rollouts and history

    def begin_rollout(self, rollout: Rollout) -> Rollout:
        """Record a rollout once.

        Returns:
            what the index holds: ``rollout``, or what was recorded before under its name.
        """
        key = items.rollout_key(rollout.name)
        return items.rollout(self._change(key, lambda item: items.rollout_item(rollout) if item is None else item))

    def rollout(self, name: str) -> Rollout | None:
        item = self._get(items.rollout_key(name))
        return None if item is None else items.rollout(item)

    def rollouts(self) -> list[Rollout]:
        """All rollouts, the newest first."""
        found = [items.rollout(item) for item in self._query("pk = :pk", pk=items.ROLLOUTS)]
        return sorted(found, key=lambda rollout: rollout.created, reverse=True)

    def change_rollout(self, name: str, change: Callable[[Rollout], Rollout]) -> Rollout:
        """Replace a rollout by what ``change`` makes of it; it may be asked again, and what it raises passes through.

        Raises:
            SetupWrong: there is no such rollout.
        """

        def decide(item: Item | None) -> Item:
            if item is None:
                raise SetupWrong(f"The index has no release or withdrawal {name}: see `broadside release list`.")
            stored = items.rollout(item)
            wanted = change(stored)
            return items.rollout_item(stored if wanted == stored else replace(wanted, updated=self.now()))

        return items.rollout(self._change(items.rollout_key(name), decide))

    def note(self, build: BuildId, what: str, by: str, reason: str = "") -> None:
        """Write down that something was done with the build."""
        event = Event(build, self.now(), what, by, reason)
        self._change(items.event_key(event), lambda item: items.event_item(event) if item is None else item)

    def history(self, build: BuildId) -> list[Event]:
        """What was done with the build, in order."""
        return [
            items.event(item) for item in self._query("pk = :pk AND begins_with(sk, :sk)", pk=items.HISTORY, sk=f"{build}/")
        ]

    # Streams

    def stream(self, stream: str) -> tuple[list[BuildRecord], list[Publication]]:
        """All builds of a stream, ordered by product and serial, and their publications."""
        builds, publications = [], []
        for item in self._query("pk = :pk", pk=stream):
            if items.is_publication(item):
                publications.append(items.publication(item))
            else:
                builds.append(items.build_record(item))
        builds.sort(key=lambda record: record.id.sort_key)
        publications.sort(key=lambda publication: (publication.build.sort_key, publication.region))
        return builds, publications

    def streams(self) -> list[str]:
        """The streams that have builds, in alphabetical order."""
        names = (str(item["sk"]) for item in self._query("pk = :pk", pk=items.STREAMS))
        return [name for name in names if not name.startswith("#")]

    def next_generation(self) -> int:
        """A number that was never handed out before, greater than all that were."""
        answer = self.client.update_item(
            TableName=self.table,
            Key=_typed({"pk": items.STREAMS, "sk": items.GENERATION}),
            UpdateExpression="ADD generation :one SET updated = :now",
            ExpressionAttributeValues=_typed({":one": 1, ":now": self.now()}),
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"]["generation"]["N"])

    def touch_refresh(self, after: float = 0) -> None:
        """Have the public files looked at, and signed anew where they are about to expire.

        Args:
            after: seconds that must have gone by since the last time, or nothing is done.
        """
        key = {"pk": items.STREAMS, "sk": items.REFRESH}
        last = self._get(key)
        if last is not None and self.seconds_since(last["updated"]) < after:
            return
        self.client.update_item(
            TableName=self.table,
            Key=_typed(key),
            UpdateExpression="ADD revision :one SET updated = :now",
            ExpressionAttributeValues=_typed({":one": 1, ":now": self.now()}),
        )

    def _register_stream(self, stream: str) -> None:
        key = {"pk": items.STREAMS, "sk": stream}
        if self._get(key) is None:
            self._replace(None, key | {"created": self.now()})

    # Uploads

    def put_upload(self, upload: Upload) -> None:
        """Write down what became of an upload, as :func:`chalicelib.index.transitions.set_upload` decides."""

        def decide(item: Item | None) -> Item:
            return items.upload_item(transitions.set_upload(None if item is None else items.upload(item), upload))

        self._change(items.upload_key(upload.key), decide)

    def upload(self, key: str, version_id: str | None = None) -> Upload | None:
        """What became of the object ``key``; with ``version_id``, only if that is the version last looked at."""
        item = self._get(items.upload_key(key))
        if item is None:
            return None
        found = items.upload(item)
        return found if version_id in (None, found.version_id) else None

    def uploads(self) -> Iterator[Upload]:
        for item in self._query("pk = :pk", pk=items.UPLOADS):
            yield items.upload(item)

    # Items

    def _change(self, key: Key, decide: Callable[[Item | None], Item]) -> Item:
        """Replace the item by what ``decide`` makes of it, and return it; what ``decide`` raises passes through."""
        for _ in self._tries(f"{key['pk']} {key['sk']}"):
            stored = self._get(key)
            wanted = items.merged(stored, decide(stored))
            if stored is not None and wanted == {name: stored[name] for name in stored if name != "revision"}:
                return stored
            if self._replace(stored, wanted):
                return wanted
        raise AssertionError("unreachable")  # pragma: no cover - _tries raises

    def _tries(self, what: str) -> Iterator[int]:
        for number in range(TRIES):
            if number:
                time.sleep(random.uniform(0, 0.01 * number))  # noqa: S311 - spreads writers out, keeps no secret
            yield number
        raise CloudBusy(
            f"Too many writers change {what} in the index {self.table}.", code="Contended", region=self.client.region
        )

    def _replace(self, stored: Item | None, wanted: Item, removed: list[Item] | None = None) -> bool:
        """Write ``wanted`` in the place of what was read, removing other items with it; False if somebody wrote in between."""
        put: dict[str, Any] = {"TableName": self.table}
        if stored is None:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        elif "revision" in stored:
            put["ConditionExpression"] = "revision = :read"
            put["ExpressionAttributeValues"] = _typed({":read": stored["revision"]})
        else:  # made by hand
            put["ConditionExpression"] = "attribute_exists(pk) AND attribute_not_exists(revision)"
        put["Item"] = _typed(wanted | {"revision": (stored or {}).get("revision", 0) + 1})
        deletes = [
            {"Delete": {"TableName": self.table, "Key": _typed({"pk": item["pk"], "sk": item["sk"]})}}
            for item in removed or []
        ]
        try:
            if deletes:
                self.client.transact_write_items(TransactItems=[{"Put": put}, *deletes])
            else:
                self.client.put_item(**put)
        except CloudRefused as error:
            if error.code not in LOST:
                raise
            return False
        return True

    def _get(self, key: Key) -> Item | None:
        answer = self.client.get_item(TableName=self.table, Key=_typed(key), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def _publication_items(self, build: BuildId) -> list[Item]:
        key = items.build_key(build)
        return list(self._query("pk = :pk AND begins_with(sk, :sk)", pk=key["pk"], sk=f"{key['sk']}/"))

    def _query(self, condition: str, *, backwards: bool = False, **values: str) -> Iterator[Item]:
        found = self.client.pages(
            "query",
            "Items",
            TableName=self.table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=_typed({f":{name}": value for name, value in values.items()}),
            ConsistentRead=True,
            ScanIndexForward=not backwards,
        )
        return (_plain(item) for item in found)


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def _typed(item: Mapping[str, Any]) -> dict[str, Any]:
    """Python's values with DynamoDB's types."""
    return {name: _serialize(value) for name, value in item.items()}


def _plain(item: Mapping[str, Any]) -> Item:
    return {name: _whole(_deserialize(value)) for name, value in item.items()}


def _whole(value: Any) -> Any:
    """DynamoDB's numbers come as Decimal; the index holds whole ones only."""
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return value
