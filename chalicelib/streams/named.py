"""Which AMIs the public files name at this moment, for whoever waits until one is out of them.

Nothing is verified here: it is the publisher that looks at its own files.
"""

from __future__ import annotations

import json
import re
from typing import Any

from chalicelib import aws
from chalicelib.errors import CloudRefused
from chalicelib.streams.model import INDEX_SJSON, ROOT, stream_of

_TEXT = re.compile(rb"\n\n(?P<text>\{.*\})\s*-----BEGIN PGP SIGNATURE-----", re.DOTALL)


def named(s3: aws.Client, bucket: str, stream: str) -> set[str]:
    """The ids of all AMIs that a reader may still be told of: in the files of the index, and under their fixed names."""
    found: set[str] = set()
    for content_id, entry in _index(s3, bucket).items():
        if stream_of(content_id) == stream and entry["datatype"] == "image-ids":
            plain = str(entry["path"]).removesuffix("sjson") + "json"
            found |= _ids(_json(s3, bucket, plain)) | _ids(_json(s3, bucket, f"{ROOT}/{content_id}.json"))
    return found


def _index(s3: aws.Client, bucket: str) -> dict[str, Any]:
    frame = _TEXT.search(_read(s3, bucket, INDEX_SJSON))
    entries: dict[str, Any] = json.loads(frame["text"])["index"] if frame else {}
    return entries


def _json(s3: aws.Client, bucket: str, key: str) -> dict[str, Any]:
    body = _read(s3, bucket, key)
    tree: dict[str, Any] = json.loads(body) if body else {}
    return tree


def _read(s3: aws.Client, bucket: str, key: str) -> bytes:
    try:
        return aws.body(s3.get_object(Bucket=bucket, Key=key))
    except CloudRefused as error:
        if error.code == "NoSuchKey":
            return b""
        raise


def _ids(tree: dict[str, Any]) -> set[str]:
    return {
        item["id"]
        for product in tree.get("products", {}).values()
        for version in product["versions"].values()
        for item in version["items"].values()
    }
