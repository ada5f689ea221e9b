"""The disk of a build: whatever format its image file has, read at any place from S3.

A disk that is compressed as a whole cannot be read at any place.  It is unpacked once, into the work bucket, and read from
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from boto3.s3.transfer import TransferConfig

from chalicelib import aws
from chalicelib.builds.files import stream
from chalicelib.builds.manifest import GIB, Manifest
from chalicelib.disks.formats import open_disk
from chalicelib.disks.packed import is_packed, unpack
from chalicelib.disks.reading import Disk
from chalicelib.errors import BadDisk, CloudBusy, CloudRefused
from chalicelib.index.records import BuildRecord, PinnedFile

#: How an unpacked disk is uploaded: S3 takes 10,000 parts, and some ten of them are in memory at once.
PARTS = TransferConfig(multipart_chunksize=16 * 1024**2, max_concurrency=4)


@dataclass(frozen=True)
class ObjectSource:
    """Random access to a pinned object version."""

    s3: aws.Client
    bucket: str
    pinned: PinnedFile

    @property
    def size(self) -> int:
        return self.pinned.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset`` on.

        Raises:
            FileMismatch: the pinned version is gone.
            CloudBusy, CloudRefused: S3 does not give it.
        """
        return b"".join(stream(self.s3, self.bucket, self.pinned, offset, offset + length))


@dataclass(frozen=True)
class Images:
    """The images of builds; unpacked disks are kept in the work bucket."""

    s3: aws.Client
    builds_bucket: str
    work_bucket: str

    def prepare(self, record: BuildRecord) -> int:
        """Make sure that the build's disk can be read, and fits.

        Returns:
            its bytes.

        Raises:
            BadDisk: the image is not what its format says, or the disk is larger than the root volume.
            FileMismatch: the pinned version is gone.
            CloudBusy, CloudRefused: from S3.
        """
        ec2 = Manifest.model_validate(record.manifest).ec2
        if is_packed(ec2.format) and self._unpacked(record) is None:
            packed = stream(self.s3, self.builds_bucket, _image(record))
            pieces = unpack(packed, ec2.format, ec2.root_volume_size * GIB)
            self.s3.upload_fileobj(Fileobj=_Pieces(pieces), Bucket=self.work_bucket, Key=_disk_key(record), Config=PARTS)
        disk = self.open(record)
        disk.check()
        if disk.size > ec2.root_volume_size * GIB:
            raise BadDisk(
                f"The disk in {ec2.image} has {disk.size:,} bytes, more than its root volume of {ec2.root_volume_size} GiB: "
                "say a larger root_volume_size in the manifest."
            )
        return disk.size

    def open(self, record: BuildRecord) -> Disk:
        """The build's disk, which was prepared.

        Raises:
            As :meth:`prepare`.
        """
        ec2 = Manifest.model_validate(record.manifest).ec2
        if not is_packed(ec2.format):
            return open_disk(ObjectSource(self.s3, self.builds_bucket, _image(record)), ec2.format)
        unpacked = self._unpacked(record)
        if unpacked is None:
            raise CloudBusy(f"The unpacked disk of {record.id} is not there (any more): retry the build.", code="NotUnpacked")
        return open_disk(ObjectSource(self.s3, self.work_bucket, unpacked), "raw")

    def _unpacked(self, record: BuildRecord) -> PinnedFile | None:
        key = _disk_key(record)
        try:
            head = self.s3.head_object(Bucket=self.work_bucket, Key=key)
        except CloudRefused as error:
            if error.code in ("404", "NoSuchKey"):
                return None
            raise
        return PinnedFile(_image(record).path, key, str(head["VersionId"]), int(head["ContentLength"]))


def _image(record: BuildRecord) -> PinnedFile:
    """The pinned file that the build's AMIs are made of."""
    path = Manifest.model_validate(record.manifest).ec2.image
    return next(file for file in record.files if file.path == path)


def _disk_key(record: BuildRecord) -> str:
    return f"disks/{record.digest}"


class _Pieces:
    """An iterator of bytes as the file that is uploaded."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, length: int = -1) -> bytes:
        """The next ``length`` bytes, fewer at the end; all of them for -1."""
        parts, got = [self._rest], len(self._rest)
        while length < 0 or got < length:
            piece = next(self._pieces, b"")
            if not piece:
                break
            parts.append(piece)
            got += len(piece)
        whole = b"".join(parts)
        end = len(whole) if length < 0 else length
        self._rest = whole[end:]
        return whole[:end]
