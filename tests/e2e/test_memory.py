"""Big images need time, not memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState
from chalicelib.names import MANIFEST_NAME
from tests.e2e.site import Site
from tests.examples import manifest
from tests.keys import Key

MIB = 1024 * 1024
LIMIT_MIB = 512
#: However large the image: objects and blocks lie on the disk.
SERVER_LIMIT_MIB = 1024
QUIET: dict[str, Any] = {"home": "us-east-1", "time_scale": 100, "regions": [{"name": "us-east-1"}]}


@pytest.fixture
def site(builder: Key, signer: Key) -> Iterator[Site]:
    """A deployment of its own, whose functions have handled nothing else."""
    with LocalCloud(QUIET) as cloud:
        yield Site(cloud, builder, signer)


def sparse_image(path: Path, size: int) -> dict[str, str]:
    """A disk of ``size`` bytes with a little data in every 64 MiB; returns its digests."""
    hashes = {name: hashlib.new(name) for name in ("sha256", "sha512", "md5")}
    with path.open("wb") as file:
        for at in range(0, size, 64 * MIB):
            chunk = at.to_bytes(8, "big") * 1024 + bytes(64 * MIB - 8192)
            file.write(chunk)
            for each in hashes.values():
                each.update(chunk)
    return {name: each.hexdigest() for name, each in hashes.items()}


def publish(site: Site, folder: Path, size: int, timeout: float) -> None:
    """Publish an image of ``size`` bytes and look at what the functions used."""
    path = folder / "disk.img"
    digests = sparse_image(path, size)
    build = site.new_build()
    file = {"path": "disk.img", "ftype": "disk1.img", "size": size, **digests}
    site.s3.upload_file(str(path), site.stack.builds_bucket, f"{build.folder}/disk.img")
    site.put(build, MANIFEST_NAME, site.builder.clearsign(manifest(b"", build, files=[file])))
    site.wait_for(build, BuildState.PUBLIC, timeout=timeout)
    used = peaks(site.cloud.state / "logs")
    assert {"broadside-VerifyFile", "broadside-WriteShard"} <= set(used)
    assert {function: peak for function, peak in used.items() if peak >= LIMIT_MIB} == {}
    assert server_peak(site) < SERVER_LIMIT_MIB


def server_peak(site: Site) -> float:
    """The most memory, in MiB, that the embedded cloud's own process has used."""
    status = Path(f"/proc/{site.cloud.ready['pid']}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def peaks(logs: Path) -> dict[str, float]:
    """The largest memory, in MiB, that each function used in any invocation: the reports in its log."""
    found: dict[str, float] = {}
    for log in logs.glob("*.log"):
        reports = [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"report"')]
        found[log.stem] = max((report["peak_mib"] for report in reports), default=0)
    return found


def test_an_image_larger_than_the_memory_of_its_functions_is_published(site: Site, tmp_path: Path) -> None:
    """768 MiB through functions that stay below 512 MiB."""
    publish(site, tmp_path, 768 * MIB, timeout=240)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_image_of_4_gib_keeps_every_function_below_512_mib(site: Site, tmp_path: Path) -> None:
    """Verifying and writing alike."""
    publish(site, tmp_path, 4096 * MIB, timeout=1500)
