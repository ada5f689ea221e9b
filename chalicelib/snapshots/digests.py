"""The digest lists that finished shards leave in the work bucket: the proof of what is written, and the checksum's input.

One object per shard, ``digests/<manifest digest>/<snapshot id>/<start>-<count>``: SHA-256 digests, 32 bytes a block.  The
snapshot's id is in the name, since what was written into a snapshot that failed is not in the one that replaced it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib import aws
from chalicelib.snapshots.blocks import Shard


@dataclass(frozen=True)
class DigestStore:
    """The digest lists of one snapshot."""

    s3: aws.Client
    bucket: str
    digest: str
    snapshot_id: str

    @property
    def _prefix(self) -> str:
        return f"digests/{self.digest}/{self.snapshot_id}/"

    def _key(self, shard: Shard) -> str:
        return f"{self._prefix}{shard.start:08d}-{shard.count}"

    def put(self, shard: Shard, digests: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self._key(shard), Body=digests)

    def missing(self, shards: Iterable[Shard]) -> list[Shard]:
        """Those of ``shards`` that are not known to be written."""
        there = {item["Key"] for item in self.s3.pages("list_objects_v2", "Contents", Bucket=self.bucket, Prefix=self._prefix)}
        return [shard for shard in shards if self._key(shard) not in there]

    def read(self, shards: Iterable[Shard]) -> bytes:
        """The digest lists of ``shards``, joined in their order."""
        return b"".join(aws.body(self.s3.get_object(Bucket=self.bucket, Key=self._key(shard))) for shard in shards)
