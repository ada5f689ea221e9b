"""The programs that people really use, against the published files over HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from moto import mock_aws

from chalicelib.openpgp import Signer
from chalicelib.streams.publish import publish
from tests.index.values import Clock, empty_index, moto_client
from tests.streams.bucket import BUCKET, Bucket
from tests.streams.values import DISK, NOW, build, make_public

#: The real readers are installed beside the Python that runs the tests.
BIN = Path(sys.executable).parent
RELEASED = build("20260915", "released")
DAILY = build("20261120")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Site:
    """A public root over loopback HTTP; files may be changed under ``root``."""

    root: Path
    url: str
    keyring: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(BIN / program), f"--keyring={self.keyring}", *arguments]
        return subprocess.run(command, check=False, capture_output=True, timeout=60)

    def query(self, *filters: str) -> subprocess.CompletedProcess[bytes]:
        return self.run("sstream-query", "--json", self.url, *filters)

    def tamper(self, pattern: str, old: bytes, new: bytes) -> None:
        """Change bytes in the one file that matches and holds them."""
        changed = [path for path in self.root.glob(pattern) if old in path.read_bytes()]
        assert changed, f"nothing under {pattern} holds {old!r}"
        for path in changed:
            path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.fixture(scope="module")
def published(signer: Signer) -> dict[str, bytes]:
    """Every object of a public bucket with a released and a daily build, published as the function does."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        client = moto_client("s3")
        client.create_bucket(Bucket=BUCKET)
        index = empty_index(Clock())
        for one in (RELEASED, DAILY):
            make_public(index, one, "us-east-1", "eu-west-1")
            client.put_object(Bucket=BUCKET, Key=one.public_path("disk.img"), Body=DISK)
        publish(BUCKET, index, client, signer, changed=None, now=NOW)
        bucket = Bucket(client)
        return {key: bucket.read(key) for key in bucket.listing()}


@pytest.fixture
def site(published: dict[str, bytes], signer: Signer, tmp_path: Path) -> Iterator[Site]:
    root, keyring = tmp_path / "root", tmp_path / "key.gpg"
    for key, body in published.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    keyring.write_bytes(signer.public_key)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(root, f"http://127.0.0.1:{server.server_port}/", keyring)
        server.shutdown()


def test_sstream_query_names_the_ami_of_a_region(site: Site) -> None:
    """One released image in one Region, with its endpoint out of the aliases."""
    done = site.query("crsn=us-east-1", "root_store=ssd", "product_name=com.example.cloud:server:24.04:amd64")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert {key: found[key] for key in ("id", "region", "endpoint", "virt", "version_name", "arch", "aliases")} == {
        "id": "ami-20260915useast1",
        "region": "us-east-1",
        "endpoint": "https://ec2.us-east-1.amazonaws.com",
        "virt": "hvm",
        "version_name": "20260915",
        "arch": "amd64",
        "aliases": "24.04,noble",
    }


def test_sstream_query_lists_every_item(site: Site) -> None:
    """Two builds, each in two Regions and as a download."""
    done = site.query()
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)
    assert sorted((item["content_id"], item["item_name"]) for item in items) == [
        (f"com.example.cloud:{stream}:{kind}", item)
        for stream in ("daily", "released")
        for kind, item in (("aws", "euww1hs"), ("aws", "usee1hs"), ("download", "disk1.img"))
    ]


def test_sstream_mirror_downloads_the_image(site: Site, tmp_path: Path) -> None:
    """The mirror fetches the files, checks their digests, and serves a tree that can be queried again."""
    done = site.run("sstream-mirror", "--max=1", site.url, str(tmp_path / "mirror"), "ftype=disk1.img")
    assert done.returncode == 0, done.stderr
    for one in (RELEASED, DAILY):
        image = (tmp_path / "mirror" / one.public_path("disk.img")).read_bytes()
        assert hashlib.sha256(image).digest() == hashlib.sha256(DISK).digest()


@pytest.mark.parametrize(
    ("pattern", "old", "new"),
    [
        ("streams/v1/index.sjson", b"us-east-1", b"us-east-2"),
        ("streams/v1/by-hash/*/*:released:aws.sjson", b"ami-20260915useast1", b"ami-20260915useast2"),
    ],
)
def test_one_changed_byte_is_refused(site: Site, pattern: str, old: bytes, new: bytes) -> None:
    """In the index or in a products file: the real reader fails and names no AMI of that file."""
    site.tamper(pattern, old, new)
    done = site.query("content_id=com.example.cloud:released:aws")
    assert done.returncode != 0
    assert b"ami-" not in done.stdout


def test_a_changed_signature_is_refused(site: Site) -> None:
    """One letter within the armor."""
    file = site.root / "streams/v1/index.sjson"
    before, mark, armor = file.read_bytes().partition(b"-----BEGIN PGP SIGNATURE-----\n\n")
    letter = b"B" if armor[40:41] == b"A" else b"A"
    file.write_bytes(before + mark + armor[:40] + letter + armor[41:])
    assert site.query().returncode != 0


def test_a_changed_image_is_not_mirrored(site: Site, tmp_path: Path) -> None:
    """One byte of the image, and the mirror keeps nothing of it."""
    (site.root / RELEASED.public_path("disk.img")).write_bytes(b"\1" + DISK[1:])
    done = site.run("sstream-mirror", "--max=1", site.url, str(tmp_path / "mirror"), "ftype=disk1.img")
    assert done.returncode != 0
    assert not (tmp_path / "mirror" / RELEASED.public_path("disk.img")).exists()


def test_another_key_is_refused(site: Site, other_signer: Signer) -> None:
    """Files signed by a key that the reader does not have are nothing to it."""
    site.keyring.write_bytes(other_signer.public_key)
    assert site.query().returncode != 0


@pytest.mark.parametrize("name", ["index", "com.example.cloud:released:aws"])
def test_gpgv_accepts_both_forms(site: Site, tmp_path: Path, name: str) -> None:
    """The clearsigned form, and the plain one with its detached signature, as `docs/query-format.md` tells to check them."""
    for suffix in ("json", "json.gpg", "sjson"):
        with urlopen(f"{site.url}streams/v1/{name}.{suffix}") as answer:  # noqa: S310 - our own loopback server
            (tmp_path / f"file.{suffix}").write_bytes(answer.read())
    gpgv = ["gpgv", "--keyring", str(site.keyring)]
    clear = [*gpgv, "--output", str(tmp_path / "text"), str(tmp_path / "file.sjson")]
    subprocess.run(clear, check=True, capture_output=True, timeout=30)
    detached = [*gpgv, str(tmp_path / "file.json.gpg"), str(tmp_path / "file.json")]
    subprocess.run(detached, check=True, capture_output=True, timeout=30)
    assert json.loads((tmp_path / "text").read_bytes())["format"] in ("index:1.0", "products:1.0")
    (tmp_path / "file.json").write_bytes((tmp_path / "file.json").read_bytes().replace(b"2026", b"2027", 1))
    assert subprocess.run(detached, check=False, capture_output=True, timeout=30).returncode != 0


def shell_blocks() -> list[str]:
    """The commands that the documentation gives to readers, but for the one that turns an armored key into a binary one."""
    text = (Path(__file__).parents[2] / "docs/query-format.md").read_text(encoding="utf-8")
    blocks = [block.removeprefix("sh\n") for block in text.split("```") if block.startswith("sh\n")]
    return [re.sub(r"^gpg --dearmor.*\n", "", block, flags=re.MULTILINE) for block in blocks]


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("curl")), reason="the commands need jq and curl")
def test_the_documented_commands_work(site: Site, tmp_path: Path) -> None:
    """Every command of `docs/query-format.md`, in its order, against a site; the last one finds that nothing has expired."""
    blocks = shell_blocks()
    assert len(blocks) == 4
    answers = []
    for block in blocks:
        script = block.replace("https://images.example.com", site.url.rstrip("/")).replace("> now", f"> {NOW.timestamp()}")
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, check=False, capture_output=True, timeout=60
        )
        assert done.returncode == 0, (script, done.stderr)
        answers.append(done.stdout)
    query, _, table, fresh = answers
    assert json.loads(query)[0]["id"] == "ami-20260915useast1"
    assert (tmp_path / "mirror" / RELEASED.public_path("disk.img")).read_bytes() == DISK
    assert table.decode().splitlines() == ["eu-west-1\tssd\tami-20260915euwest1", "us-east-1\tssd\tami-20260915useast1"]
    assert fresh == b"true\n"
