"""A manifest to change, and the ways to change it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chalicelib.names import BuildId

CONTENT = b"a disk image, more or less" * 100
BUILD = BuildId("com.example.cloud:server:24.04:amd64", "daily", "20261120")


def manifest(content: bytes = CONTENT, build: BuildId = BUILD, **changes: Any) -> dict[str, Any]:
    """A good manifest of the build for the content.

    ``changes`` name a field by its path, joined with two underscores: ``files__0__path="x"``, ``ec2__tpm="v2.0"``.
    """
    arch = build.product.rpartition(":")[2]
    document: dict[str, Any] = {
        "format": "broadside-build:1",
        "product": build.product,
        "stream": build.stream,
        "serial": build.serial,
        "label": "daily" if build.stream == "daily" else "release",
        "os": "example",
        "release": "noble",
        "version": "24.04",
        "arch": arch,
        "release_codename": "Noble Numbat",
        "release_title": "24.04 LTS",
        "aliases": ["24.04", "noble"],
        "supported": True,
        "support_eol": "2029-05-31",
        "files": [file("disk.img", "disk1.img", content)],
        "ec2": {
            "image": "disk.img",
            "format": "raw",
            "boot_mode": "uefi-preferred" if arch == "amd64" else "uefi",
            "imds": "v2.0",
            "tpm": None,
            "ena": True,
            "sriov": True,
            "root_device": "/dev/sda1",
            "root_volume_type": "gp3",
            "root_volume_size": 8,
            "description": "{os} {version} {arch} {stream} {serial}",
        },
    }
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        place: Any = document
        for part in parents:
            place = place[part]
        place[last] = value
    return document


def file(path: str, ftype: str, content: bytes) -> dict[str, Any]:
    """The entry of one file."""
    digests = {name: hashlib.new(name, content).hexdigest() for name in ("sha256", "sha512", "md5")}
    return {"path": path, "ftype": ftype, "size": len(content), **digests}


def text(**changes: Any) -> bytes:
    """A manifest as JSON."""
    return json.dumps(manifest(**changes), indent=1).encode()
