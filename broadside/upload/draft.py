"""From what a builder says to a whole manifest: sensible defaults, and the files' sizes and digests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from chalicelib.builds.files import digest
from chalicelib.builds.manifest import FILE_NAME_PATTERN, FORMAT, GIB, Manifest
from chalicelib.disks.formats import guess, has_tables, open_disk
from chalicelib.disks.packed import is_packed, unpack
from chalicelib.disks.reading import MAX_DISK, LocalFile
from chalicelib.disks.signs import ENDS
from chalicelib.errors import BadManifest, FileMismatch
from chalicelib.names import PRODUCT_PATTERN

CHUNK = 4 * 1024 * 1024

#: Reports that so many more bytes of a file are done.
Progress = Callable[[str, int], None]

#: Stands for the digests until the files are read.
NOT_YET = {"sha256": "0" * 64, "sha512": "0" * 128, "md5": "0" * 32}

#: The smallest root volume that is offered by itself, in GiB.
USUAL_VOLUME = 8


def silent(_path: str, _count: int) -> None:
    """Tells nobody."""


class _TextLoader(yaml.SafeLoader):
    """YAML whose plain scalars are text but for true, false and null: 24.10 is a version and 20261120 a serial."""


_TextLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        # A boolean begins with the t of true or the f of false: yes, no, on and off are words.
        if tag == "tag:yaml.org,2002:null" or (tag == "tag:yaml.org,2002:bool" and first in "tTfF")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Draft:
    """What the builder said.

    ``fields`` are the manifest's top-level fields but files and ec2, ``ec2`` that one's; ``files`` the files by local path,
    each with what was said of it (its ftype, perhaps digests to be held to).
    """

    fields: Mapping[str, Any]
    ec2: Mapping[str, Any]
    files: Mapping[Path, Mapping[str, Any]]

    @classmethod
    def of(cls, image: Path, **fields: Any) -> Draft:
        """A build of one image."""
        return cls(fields, {}, {image: {}})

    @classmethod
    def read(cls, path: Path) -> Draft:
        """Read a manifest in YAML: all its fields but the format; paths are relative to the file, digests may be left out.

        Raises:
            BadManifest: it cannot be read as that.
        """
        try:
            said = yaml.load(path.read_text(encoding="utf-8"), Loader=_TextLoader)  # noqa: S506 - derived from SafeLoader
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BadManifest(f"{path} cannot be read as YAML: {' '.join(str(error).split())}.") from error
        files = said.pop("files", []) if isinstance(said, dict) else None
        ec2 = said.pop("ec2", {}) if isinstance(said, dict) else None
        if not isinstance(ec2, dict) or not isinstance(files, list) or not all(isinstance(each, dict) for each in files):
            raise BadManifest(f"{path} must hold the fields of a manifest, with files as a list and ec2 as a mapping.")
        if not all(isinstance(each.get("path"), str) for each in files):
            raise BadManifest(f"{path} has a file without a path.")
        said.pop("format", None)
        return cls(
            said,
            _whole_numbers(ec2),
            {path.parent / each["path"]: {**_whole_numbers(each), "path": Path(each["path"]).name} for each in files},
        )

    def with_(self, fields: Mapping[str, Any], ec2: Mapping[str, Any], files: Mapping[Path, Mapping[str, Any]]) -> Draft:
        """The draft with more said, which counts more."""
        return Draft({**self.fields, **fields}, {**self.ec2, **ec2}, {**self.files, **files})

    @property
    def paths(self) -> dict[str, Path]:
        """Where each file of the manifest lies, by its path there.

        Raises:
            BadManifest: two files have one name.
        """
        found = {path.name: path for path in self.files}
        if len(found) != len(self.files):
            raise BadManifest("Two files have the same name: they go into one folder, so rename one.")
        return found

    def manifest(self, progress: Progress = silent) -> Manifest:
        """Hash the files, once each and side by side, and check the whole.

        Raises:
            BadManifest: something said, or left out, makes no manifest.
            BadDisk: the image is none of its format, or not whole in itself.
            FileMismatch: a file is not what was said of it.
        """
        self.check()  # finds faults before the long work
        return self._parse(self._hashed(progress), self._unpacked())

    def check(self) -> None:
        """Check all that can be checked without reading the files to their end.

        Raises:
            BadManifest: something said, or left out, makes no manifest.
            BadDisk: the image is none of its format, or not whole in itself.
        """
        self._parse([{"size": _size(path), **NOT_YET} for path in self.paths.values()])

    def _parse(self, found: list[dict[str, Any]], unpacked: int = 0) -> Manifest:
        """The manifest with what was found of each file, in their order, and of the disk if it had to be unpacked."""
        files = [
            {"ftype": "disk1.img" if name == self._image else file_type(name), **self.files[path], "path": name, **facts}
            for (name, path), facts in zip(self.paths.items(), found, strict=True)
        ]
        fields = _with_defaults(self.fields)
        size = next((file["size"] for file in files if file["path"] == self._image), 0)
        disk = size if self._format == "raw" else unpacked or self._virtual_size()
        ec2 = {"image": self._image, "format": self._format, **_ec2_defaults(self.ec2, fields, disk), **self.ec2}
        manifest = Manifest.parse(json.dumps({"format": FORMAT, **fields, "files": files, "ec2": ec2}).encode())
        if manifest.ec2.root_volume_size * GIB < disk:
            raise BadManifest(
                f"ec2.root_volume_size must be at least {-(-disk // GIB)} GiB to hold the disk in {self._image}."
            )
        return manifest

    @property
    def _image(self) -> str:
        return str(self.ec2.get("image", next(iter(self.paths), "")))

    @cached_property
    def _format(self) -> str:
        """What was said, or what the image's content tells."""
        path = self.paths.get(self._image)
        if "format" in self.ec2 or path is None:
            return str(self.ec2.get("format", "raw"))
        with LocalFile(path) as file:
            ends = min(ENDS, file.size)
            return guess(file.read(0, ends), file.read(file.size - ends, ends), path.name)

    def _virtual_size(self) -> int:
        """The bytes of the disk in an image that says so itself, once every table of the image was found right; else 0."""
        path = self.paths.get(self._image)
        if path is None or not has_tables(self._format):
            return 0
        with LocalFile(path) as file:
            disk = open_disk(file, self._format)
            disk.check()
            return disk.size

    def _unpacked(self) -> int:
        """The bytes of a disk that is packed as a whole; 0 if they are not needed, or it is not packed."""
        if not is_packed(self._format) or "root_volume_size" in self.ec2:
            return 0
        chunks = _chunks(self.paths[self._image], self._image, silent)
        return sum(len(piece) for piece in unpack(chunks, self._format, MAX_DISK))

    def _hashed(self, progress: Progress) -> list[dict[str, Any]]:
        paths = self.paths
        with ThreadPoolExecutor(4) as pool:
            digests = list(pool.map(lambda name: digest(_chunks(paths[name], name, progress)), paths))
        found = [asdict(each) for each in digests]
        for path, facts in zip(paths.values(), found, strict=True):
            _hold_to(path, self.files[path], facts)
        return found


def text(manifest: Manifest) -> bytes:
    """The manifest as it is signed: JSON in short lines, which gpg does not cut."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2).encode() + b"\n"


def _chunks(path: Path, name: str, progress: Progress) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
            progress(name, len(chunk))


def _size(path: Path) -> int:
    if not path.is_file():
        raise BadManifest(f"There is no file {path}.")
    if not re.fullmatch(FILE_NAME_PATTERN, path.name):
        raise BadManifest(f"Rename {path}: its name may have only letters, digits, dots, dashes and underscores.")
    if not (size := path.stat().st_size):
        raise BadManifest(f"{path} is empty.")
    return size


def _hold_to(path: Path, said: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """What the builder said of a file must be so."""
    for field, value in found.items():
        if said.get(field, value) != value:
            raise FileMismatch(f"{path} has the {field} {value}, not {said[field]} as you say: is it the right file?")


def file_type(name: str) -> str:
    """The simplestreams ftype that a file's name suggests."""
    for ending in (".tar.xz", ".tar.gz", ".tar.zst"):
        if name.endswith(ending):
            return f"root{ending}"
    return Path(name).suffix.lstrip(".").lower() or name.lower()


def _with_defaults(said: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level fields, where nothing is said from the product's name and the calendar."""
    if "product" not in said:
        raise BadManifest("Name the product, for example --product com.example.cloud:server:24.04:amd64.")
    if not re.fullmatch(PRODUCT_PATTERN, str(said["product"])):  # the other fields' defaults would be nonsense, too
        raise BadManifest(f"The product must be like com.example.cloud:server:24.04:amd64; it is {said['product']!r}.")
    owner, _, version, arch = str(said["product"]).split(":")
    stream = said.get("stream", "daily")
    version = str(said.get("version", version))
    release = str(said.get("release", version))
    defaults = {
        "stream": stream,
        "serial": f"{datetime.now(UTC):%Y%m%d}",
        "label": "daily" if stream == "daily" else "release",
        "os": [*owner.split("."), owner][1],  # com.example.cloud is example's
        "release": release,
        "version": version,
        "arch": arch,
        "release_codename": release.capitalize(),
        "release_title": version,
        # A daily that shares its aliases with the release would be handed out in its place: readers take the newest.
        "aliases": sorted({version, release}) if stream == "released" else [],
    }
    return {**defaults, **said}


def _ec2_defaults(said: Mapping[str, Any], fields: Mapping[str, Any], disk: int) -> dict[str, Any]:
    """What is not said of the registration of a disk of so many bytes."""
    return {
        "boot_mode": "uefi" if fields["arch"] == "arm64" or said.get("tpm") else "uefi-preferred",
        "imds": "v2.0",
        "root_volume_size": max(USUAL_VOLUME, -(-disk // GIB)),
    }


def _whole_numbers(said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are numbers, as numbers."""
    return {
        name: int(value) if name in ("size", "root_volume_size") and str(value).isdecimal() else value
        for name, value in said.items()
    }
