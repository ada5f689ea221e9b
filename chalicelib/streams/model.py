"""The public files as values: what they hold, and the very bytes of them.  No I/O.

The same values make the same bytes: keys are sorted, and no time of rendering gets in.  One value a line keeps every line far
below the length at which gpg cuts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

ROOT = "streams/v1"
INDEX_SJSON = f"{ROOT}/index.sjson"
INDEX_JSON = f"{ROOT}/index.json"

#: The ``updated`` of an index that never named anything.
EPOCH = "Thu, 01 Jan 1970 00:00:00 +0000"

Datatype = Literal["image-ids", "image-downloads"]

_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"


def _a_time(value: str) -> str:
    datetime.fromisoformat(value)
    return value


Generation = Annotated[int, Field(ge=1)]
Expires = Annotated[str, Field(pattern=_TIME), AfterValidator(_a_time)]


@dataclass(frozen=True)
class Stamp:
    """What a file says of itself besides its content.

    ``generation`` is greater than that of any file before it; after ``expires`` (ISO 8601, UTC) a strict reader refuses it.
    """

    generation: int
    expires: str


@dataclass(frozen=True)
class Content:
    """One products file before it is stamped.

    ``products`` is its tree in the format ``products:1.0``; ``updated`` the time (ISO 8601) of the newest thing in it.
    For image ids, ``cloud`` is simplestreams' name of the partition, ``clouds`` holds each Region with its endpoint, and
    ``aliases`` what an item's ``crsn`` stands for.
    """

    content_id: str
    datatype: Datatype
    updated: str
    products: dict[str, Any]
    aliases: dict[str, Any] = field(default_factory=dict)
    cloud: str = ""
    clouds: tuple[tuple[str, str], ...] = ()

    def text(self, stamp: Stamp) -> bytes:
        """The products file."""
        tree = {
            "content_id": self.content_id,
            "datatype": self.datatype,
            "expires": stamp.expires,
            "format": "products:1.0",
            "generation": stamp.generation,
            "products": self.products,
            "updated": rfc2822(self.updated),
        }
        return json_text(tree | ({"_aliases": self.aliases} if self.aliases else {}))

    def entry(self, stamp: Stamp) -> Entry:
        """The index's entry for the products file of that stamp."""
        digest = hashlib.sha256(self.text(stamp)).hexdigest()
        return Entry(
            datatype=self.datatype,
            format="products:1.0",
            path=f"{ROOT}/by-hash/{digest}/{self.content_id}.sjson",
            products=sorted(self.products),
            updated=rfc2822(self.updated),
            generation=stamp.generation,
            expires=stamp.expires,
            cloudname=self.cloud or None,
            clouds=[Cloud(region=region, endpoint=endpoint) for region, endpoint in self.clouds] or None,
        )


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")  # a newer version's keys are carried along


class Cloud(_Part):
    """A Region that a products file has images for."""

    region: str
    endpoint: str


class Entry(_Part):
    """What the index says of one products file; ``path`` is that of the clearsigned form."""

    datatype: Datatype
    format: Literal["products:1.0"]
    path: Annotated[str, Field(pattern=r"^streams/v1/by-hash/[0-9a-f]{64}/[^/]+\.sjson$")]
    products: list[str]
    updated: str
    generation: Generation
    expires: Expires
    cloudname: str | None = None
    clouds: list[Cloud] | None = None

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.generation, self.expires)

    @property
    def sha256(self) -> str:
        """Of the JSON text, in hex: the folder of the file."""
        return self.path.split("/")[-2]

    @property
    def stem(self) -> str:
        """The path without its suffix: the file is there as ``.sjson``, ``.json`` and ``.json.gpg``."""
        return self.path.removesuffix(".sjson")


class StreamsIndex(_Part):
    """The index of all products files, by content id."""

    format: Literal["index:1.0"]
    updated: str
    generation: Generation
    expires: Expires
    index: dict[str, Entry]

    @model_validator(mode="after")
    def _paths_fit_content_ids(self) -> Self:
        for content_id, entry in self.index.items():
            if not entry.path.endswith(f"/{content_id}.sjson"):
                raise ValueError(f"the entry {content_id} names the file of another: {entry.path}")
        return self

    @classmethod
    def of(cls, entries: dict[str, Entry], stamp: Stamp, since: str = EPOCH) -> Self:
        """The index of ``entries``; its ``updated`` is the newest of theirs, and never before ``since`` (RFC 2822)."""
        updated = max([since, *(entry.updated for entry in entries.values())], key=parsedate_to_datetime)
        return cls(format="index:1.0", updated=updated, generation=stamp.generation, expires=stamp.expires, index=entries)

    def text(self, suffix: Literal["sjson", "json"]) -> bytes:
        """The file; a clearsigned index names clearsigned products files, the plain one the plain ones."""
        tree = self.model_dump(exclude_none=True)
        for content_id, entry in self.index.items():
            tree["index"][content_id]["path"] = f"{entry.stem}.{suffix}"
        return json_text(tree)


def stream_of(content_id: str) -> str:
    """The stream that a content id (``com.example.cloud:daily:aws``) belongs to."""
    return content_id.split(":")[1]


def json_text(tree: Any) -> bytes:
    """Deterministic JSON, ASCII, one value a line."""
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False).encode("ascii") + b"\n"


def rfc2822(iso: str) -> str:
    """``2026-11-20T09:30:00Z`` as simplestreams writes it: ``Fri, 20 Nov 2026 09:30:00 +0000``."""
    return format_datetime(datetime.fromisoformat(iso))


def iso(time: datetime) -> str:
    """A time as the index and ``expires`` write it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
