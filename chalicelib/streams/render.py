"""From the records of one stream to its products files.  No I/O.

Four decisions that readers force, each for a trap in ``docs/query-format.md``:

1. The products and the aliases of every stream but ``released`` carry the stream's name.  Readers such as LXD look an alias up
   over the whole index and take the newest serial: ``noble`` would be last night's daily.
2. Readers sort versions as text, where ``20261120.10`` comes before ``20261120.9``.  Versions keep the names under which they
   were published, so an item is left out as long as it would hide a newer one: with .10 published in a Region, its .2 to .9
   are not named any more (their AMIs stay).
3. What describes a product (aliases, titles, support) is the word of its newest build.
4. The key of a downloadable item is the ftype that the builder signed, so that ``disk1.img`` stays ``disk1.img``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.builds.manifest import Manifest
from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState
from chalicelib.names import BuildId
from chalicelib.streams import regions
from chalicelib.streams.model import Content, Datatype

#: The stream that is meant when none is named.
MAIN_STREAM = "released"


def contents(builds: Iterable[BuildRecord], publications: Iterable[Publication]) -> list[Content]:
    """The products files of one stream, ordered by content id; a file that would be empty is not there.

    Args:
        builds, publications: all of the stream, in any order.
    """
    public: dict[BuildId, list[Publication]] = {}
    for publication in publications:
        if publication.state is PublicationState.PUBLIC and publication.image_id:
            public.setdefault(publication.build, []).append(publication)
    drafts: dict[str, _Draft] = {}
    for record in sorted(builds, key=lambda record: record.id.sort_key, reverse=True):
        if record.state is BuildState.REFUSED:
            continue
        manifest = Manifest.model_validate(record.manifest)
        for publication in public.get(record.id, []):
            _draft(drafts, record.id, regions.partition(publication.region).cloud).add_image(manifest, publication)
        if record.downloads_at:
            _draft(drafts, record.id, "download").add_files(manifest, record.downloads_at)
    return [drafts[content_id].content() for content_id in sorted(drafts)]


def product_name(build: BuildId) -> str:
    """The product's name in the streams: ``com.example.cloud.daily:server:24.04:amd64``."""
    if build.stream == MAIN_STREAM:
        return build.product
    prefix, _, rest = build.product.partition(":")
    return f"{prefix}.{build.stream}:{rest}"


def public_name(build: BuildId) -> str:
    """``pubname``: the AMI's name without slashes, as Glance and file systems like it."""
    return build.image_name.replace("/", "-")


@dataclass
class _Draft:
    """A products file while builds are added to it, the newest first."""

    content_id: str
    cloud: str = ""
    products: dict[str, Any] = field(default_factory=dict)
    regions: set[str] = field(default_factory=set)
    updated: str = ""
    #: By product and item key, the version added last: an older one must also sort before it as text.
    above: dict[tuple[str, str], str] = field(default_factory=dict)

    def add_image(self, manifest: Manifest, publication: Publication) -> None:
        root_store = regions.ROOT_STORES[manifest.ec2.root_volume_type]
        item = {
            "boot_mode": manifest.ec2.boot_mode,
            "crsn": publication.region,
            "id": publication.image_id,
            "root_store": root_store,
            "virt": "hvm",
        }
        since = publication.times.get(PublicationState.PUBLIC, publication.updated)
        if self._add(manifest, regions.item_key(publication.region, root_store), item, since):
            self.regions.add(publication.region)

    def add_files(self, manifest: Manifest, since: str) -> None:
        for file in manifest.files:
            item = {
                "ftype": file.ftype,
                "md5": file.md5,
                "path": manifest.id.public_path(file.path),
                "sha256": file.sha256,
                "sha512": file.sha512,
                "size": file.size,
            }
            self._add(manifest, file.ftype, item, since)

    def _add(self, manifest: Manifest, key: str, item: dict[str, Any], since: str) -> bool:
        name = product_name(manifest.id)
        above = self.above.setdefault((name, key), manifest.serial)
        if manifest.serial > above:
            return False
        self.above[name, key] = manifest.serial
        product = self.products.setdefault(name, _product(manifest))
        version = product["versions"].setdefault(
            manifest.serial, {"items": {}, "label": manifest.label, "pubname": public_name(manifest.id)}
        )
        version["items"][key] = item
        self.updated = max(self.updated, since)
        return True

    def content(self) -> Content:
        datatype: Datatype = "image-ids" if self.cloud else "image-downloads"
        clouds = [(region, regions.endpoint(region)) for region in sorted(self.regions)]
        crsn = {region: {"endpoint": endpoint, "region": region} for region, endpoint in clouds}
        return Content(
            content_id=self.content_id,
            datatype=datatype,
            updated=self.updated,
            products=self.products,
            aliases={"crsn": crsn} if crsn else {},
            cloud=self.cloud,
            clouds=tuple(clouds),
        )


def _draft(drafts: dict[str, _Draft], build: BuildId, kind: str) -> _Draft:
    """The file for a build's prefix and stream; ``kind`` is a partition's cloud, or ``download``."""
    content_id = f"{build.product.partition(':')[0]}:{build.stream}:{kind}"
    return drafts.setdefault(content_id, _Draft(content_id, cloud="" if kind == "download" else kind))


def _product(manifest: Manifest) -> dict[str, Any]:
    """A product without its versions."""
    own = "" if manifest.stream == MAIN_STREAM else f"-{manifest.stream}"
    product: dict[str, Any] = {
        "arch": manifest.arch,
        "os": manifest.os,
        "release": manifest.release,
        "release_codename": manifest.release_codename,
        "release_title": manifest.release_title,
        "supported": manifest.supported,
        "version": manifest.version,
        "versions": {},
    }
    if manifest.aliases:
        product["aliases"] = ",".join(f"{alias}{own}" for alias in manifest.aliases)
    if manifest.support_eol is not None:
        product["support_eol"] = manifest.support_eol.isoformat()
    return product
