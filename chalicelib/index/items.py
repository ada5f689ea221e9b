"""Records as items of the table and back, without I/O.

An item holds plain attributes under the names of the record's fields; what is empty is left out, so that the console shows
what there is.  Values are Python's (str, int, bool, None, list, dict); :mod:`chalicelib.index.table` gives them DynamoDB's
types.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

from chalicelib.index.records import (
    BuildRecord,
    BuildState,
    Event,
    Gate,
    Kind,
    Lineage,
    Method,
    Parent,
    Phase,
    PinnedFile,
    Publication,
    PublicationState,
    Rollout,
    RolloutState,
    Upload,
    UploadState,
    Wave,
)
from chalicelib.names import BuildId

Item = dict[str, Any]
Key = dict[str, str]

UPLOADS = "#uploads"
STREAMS = "#streams"
LINEAGE = "#lineage"
ROLLOUTS = "#rollouts"
HISTORY = "#history"
GENERATION = "#generation"
REFRESH = "#refresh"

#: The table's own attributes.  ``revision`` counts an item's changes and is the condition of the next one.
OWN = frozenset({"pk", "sk", "revision"})

E = TypeVar("E", BuildState, PublicationState, UploadState)


def build_key(build: BuildId) -> Key:
    return {"pk": build.stream, "sk": f"{build.product}/{build.serial}"}


def publication_key(build: BuildId, region: str) -> Key:
    return {"pk": build.stream, "sk": f"{build.product}/{build.serial}/{region}"}


def upload_key(key: str) -> Key:
    return {"pk": UPLOADS, "sk": key}


def is_publication(item: Item) -> bool:
    """Whether an item of a stream's partition is a publication; the others are builds."""
    return str(item["sk"]).count("/") == 2


def build_item(record: BuildRecord) -> Item:
    files = [asdict(file) for file in record.files]
    return _without_empty(_fields(record, "id") | build_key(record.id) | _id(record.id) | {"files": files})


def build_record(item: Item) -> BuildRecord:
    return BuildRecord(
        id=_build(item),
        files=tuple(PinnedFile(**file) for file in item["files"]),
        state=BuildState(item["state"]),
        manifest=item["manifest"],
        disk_size=int(item.get("disk_size", 0)),
        **_texts(item, "digest manifest_key manifest_version signer created updated reason claimed_by"),
        **_texts(item, "released_at released_by downloads_at"),
    )


def publication_item(publication: Publication) -> Item:
    key = publication_key(publication.build, publication.region)
    parent = None if publication.parent is None else asdict(publication.parent)
    return _without_empty(_fields(publication, "build") | key | _id(publication.build) | {"parent": parent})


def publication(item: Item) -> Publication:
    return Publication(
        build=_build(item),
        state=PublicationState(item["state"]),
        attempt=int(item.get("attempt", 0)),
        times=dict(item.get("times", {})),
        method=Method(item["method"]) if "method" in item else None,
        parent=Parent(**item["parent"]) if "parent" in item else None,
        blocks_written=int(item.get("blocks_written", 0)),
        blocks=int(item.get("blocks", 0)),
        **_texts(item, "region updated reason snapshot_id image_id released_at"),
    )


def lineage_key(product: str, region: str) -> Key:
    return {"pk": LINEAGE, "sk": f"{product}/{region}"}


def lineage_item(record: Lineage) -> Item:
    parent = {"parent": asdict(record.parent)}
    return _without_empty(_fields(record) | lineage_key(record.product, record.region) | parent)


def lineage(item: Item) -> Lineage:
    return Lineage(
        parent=Parent(**item["parent"]),
        disk_size=int(item["disk_size"]),
        zeros_skipped=bool(item.get("zeros_skipped")),
        **_texts(item, "product region updated"),
    )


def rollout_key(name: str) -> Key:
    return {"pk": ROLLOUTS, "sk": name}


def rollout_item(record: Rollout) -> Item:
    waves = [asdict(wave) | {"regions": list(wave.regions)} for wave in record.waves]
    plain = {"builds": [str(build) for build in record.builds], "waves": waves}
    return _without_empty(_fields(record) | rollout_key(record.name) | plain)


def rollout(item: Item) -> Rollout:
    waves = tuple(
        Wave(each["name"], tuple(each["regions"]), int(each["bake"]), Gate(**each["gate"])) for each in item["waves"]
    )
    return Rollout(
        builds=tuple(BuildId.parse(text) for text in item["builds"]),
        waves=waves,
        kind=Kind(item["kind"]),
        state=RolloutState(item["state"]),
        phase=Phase(item["phase"]),
        wave=int(item.get("wave", 0)),
        delete=bool(item.get("delete")),
        **_texts(item, "name by created updated at undo since reason wish token"),
    )


def event_key(event: Event) -> Key:
    """By build and time; two events of one second are told apart by what they say."""
    return {"pk": HISTORY, "sk": f"{event.build}/{event.at}/{event.what}"}


def event_item(event: Event) -> Item:
    return _without_empty(_fields(event, "build") | event_key(event) | _id(event.build))


def event(item: Item) -> Event:
    return Event(build=_build(item), **_texts(item, "at what by reason"))


def upload_item(record: Upload) -> Item:
    return _without_empty(_fields(record) | upload_key(record.key))


def upload(item: Item) -> Upload:
    return Upload(state=UploadState(item["state"]), **_texts(item, "key version_id reason updated build"))


def merged(stored: Item | None, wanted: Item) -> Item:
    """``wanted`` with what is stored beside the record's own fields, such as a note that somebody made in the console."""
    return {name: value for name, value in (stored or {}).items() if name not in KNOWN and name not in OWN} | wanted


#: Every field of every record, and the parts of a build's name.
KNOWN = frozenset({"product", "stream", "serial"}).union(
    *(record.__dataclass_fields__ for record in (BuildRecord, Publication, Upload, Lineage, Rollout, Event))
)


def _id(build: BuildId) -> Item:
    return {"product": build.product, "stream": build.stream, "serial": build.serial}


def _build(item: Item) -> BuildId:
    return BuildId(item["product"], item["stream"], item["serial"])


def _fields(record: BuildRecord | Publication | Upload | Lineage | Rollout | Event, *left_out: str) -> Item:
    names = (name for name in record.__dataclass_fields__ if name not in left_out)
    return {name: str(value) if isinstance(value := getattr(record, name), str) else value for name in names}


def _texts(item: Item, names: str) -> dict[str, Any]:
    return {name: item.get(name, "") for name in names.split()}


def _without_empty(item: Item) -> Item:
    return {name: value for name, value in item.items() if value not in ("", 0, {}, None)}
