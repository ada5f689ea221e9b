"""What is known of blocks, as objects of the work bucket.

``receipts/<manifest digest>/<first block>/<name>`` is what one run over a shard leaves: the shard's digests, and the snapshots
into which all that they need of it was written.  Receipts serve the publication that is under way.

``digests/<manifest digest>`` is the digest list of the whole disk: SHA-256, 32 bytes a block.  It is the input of the
snapshots' checksums, and what the next build of the product is compared with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from chalicelib import aws
from chalicelib.errors import CloudRefused
from chalicelib.snapshots.blocks import DIGEST_SIZE, Shard

#: Receipts read at once.
AT_ONCE = 10


@dataclass(frozen=True)
class Receipt:
    """What a run over a shard has seen and done."""

    start: int
    digests: bytes
    snapshots: frozenset[str]

    def to_bytes(self) -> bytes:
        """One line of JSON, then the digests."""
        return json.dumps({"start": self.start, "snapshots": sorted(self.snapshots)}).encode() + b"\n" + self.digests

    @classmethod
    def from_bytes(cls, data: bytes) -> Receipt:
        line, _, digests = data.partition(b"\n")
        head = json.loads(line)
        return cls(head["start"], digests, frozenset(head["snapshots"]))

    @property
    def name(self) -> str:
        """The same for the same snapshots, so that a run that comes twice leaves one receipt."""
        return hashlib.sha256(" ".join(sorted(self.snapshots)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Receipts:
    """The receipts of one publication; ``digest`` is its manifest's, in hex."""

    s3: aws.Client
    bucket: str
    digest: str

    def put(self, receipt: Receipt) -> None:
        key = f"receipts/{self.digest}/{receipt.start:08d}/{receipt.name}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=receipt.to_bytes())

    def read(self, shard: Shard | None = None) -> list[Receipt]:
        """All receipts, or those of one shard."""
        prefix = f"receipts/{self.digest}/" + ("" if shard is None else f"{shard.start:08d}/")
        keys = [item["Key"] for item in self.s3.pages("list_objects_v2", "Contents", Bucket=self.bucket, Prefix=prefix)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda key: Receipt.from_bytes(self._get(key)), keys))

    def _get(self, key: str) -> bytes:
        return aws.body(self.s3.get_object(Bucket=self.bucket, Key=key))


def written(receipts: Iterable[Receipt], snapshot_id: str) -> set[int]:
    """The first blocks of the shards that are known to be in the snapshot."""
    return {receipt.start for receipt in receipts if snapshot_id in receipt.snapshots}


@dataclass(frozen=True)
class DigestLists:
    """The digest lists of all builds, by their manifests' digests."""

    s3: aws.Client
    bucket: str

    @staticmethod
    def _key(digest: str) -> str:
        return f"digests/{digest}"

    def put(self, digest: str, digest_list: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self._key(digest), Body=digest_list)

    def there(self, digest: str) -> bool:
        """Whether there is such a list."""
        return self.read(digest, Shard(0, 1)) is not None

    def read(self, digest: str, shard: Shard | None = None) -> bytes | None:
        """The whole list, or a shard's part of it, shorter or empty where the disk ends; None if there is no such list."""
        part = {}
        if shard is not None:
            first = shard.start * DIGEST_SIZE
            part = {"Range": f"bytes={first}-{first + shard.count * DIGEST_SIZE - 1}"}
        try:
            return aws.body(self.s3.get_object(Bucket=self.bucket, Key=self._key(digest), **part))
        except CloudRefused as error:
            if error.code in ("NoSuchKey", "404"):
                return None
            if error.code == "InvalidRange":  # the disk ends before the shard
                return b""
            raise
