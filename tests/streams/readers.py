"""What well-known programs demand of the files, as small strict readers.

Written after the table in ``docs/query-format.md``: each takes decoded JSON and fails where the program would fail, or would
answer something that nobody wants.
"""

from __future__ import annotations

import re
from typing import Any

Tree = dict[str, Any]


def text(value: object) -> str:
    assert isinstance(value, str), f"{value!r} is no string"
    return value


def lxd_aliases(index: Tree, files: dict[str, Tree]) -> dict[tuple[str, str], list[str]]:
    """LXD and Incus: decode into Go structs, so that one wrong type fails the whole file.

    Returns:
        for each alias and architecture, the serials of all products that have it.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for content_id, entry in index["index"].items():
        if entry["datatype"] != "image-downloads":
            continue
        assert [text(name) for name in entry["products"]]
        for product in files[content_id]["products"].values():
            for key in ("aliases", "arch", "os", "release", "release_codename", "release_title", "version", "support_eol"):
                text(product.get(key, ""))
            assert isinstance(product["supported"], bool)
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", product.get("support_eol", "2029-05-31"))
            for version in product["versions"].values():
                for item in version["items"].values():
                    assert type(item["size"]) is int
                    for key in ("ftype", "md5", "path", "sha256"):
                        text(item[key])
            for alias in product.get("aliases", "").split(","):
                found.setdefault((alias, product["arch"]), []).extend(product["versions"])
    return found


def juju_image(index: Tree, files: dict[str, Tree], product: str, region: str, endpoint: str) -> str:
    """Juju: the index entry by product, Region and endpoint; aliases resolved; the newest version by its text."""
    for content_id, entry in index["index"].items():
        if entry["datatype"] != "image-ids" or product not in entry["products"]:
            continue
        if {"region": region, "endpoint": endpoint} not in entry["clouds"]:
            continue
        tree = files[content_id]
        for values in tree["_aliases"].values():
            for attributes in values.values():
                for value in attributes.values():
                    text(value)
        found = tree["products"][product]
        for version in sorted(found["versions"], reverse=True):
            for item in found["versions"][version]["items"].values():
                resolved = item | tree["_aliases"]["crsn"][item["crsn"]]
                if (resolved["region"], resolved["endpoint"], item["virt"]) == (region, endpoint, "hvm"):
                    return text(item["id"])
    raise AssertionError(f"Juju finds no image of {product} in {region}")


def multipass_images(index: Tree, files: dict[str, Tree]) -> list[str]:
    """Multipass: the first image-downloads entry of the index only; the last version by its text; SHA-256 of its image."""
    first = next(cid for cid, entry in sorted(index["index"].items()) if entry["datatype"] == "image-downloads")
    hashes = []
    for product in files[first]["products"].values():
        assert isinstance(product["supported"], bool)
        for key in ("arch", "aliases", "release", "release_title"):
            text(product[key])
        newest = product["versions"][max(product["versions"])]["items"]
        image = newest.get("disk1.img") or newest.get("uefi1.img")
        assert image, "Multipass drops the whole file for a version without disk1.img or uefi1.img"
        assert type(image["size"]) is int
        assert image["size"] < 2**31, "Multipass drops the whole file for an image of 2 GiB or more"
        hashes.append(text(image["sha256"]))
        text(image["path"])
    return hashes
