"""The demonstration's checks find what is wrong: a changed byte in a public file, a changed byte behind an AMI."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from broadside.proof import NotProven, equals_image, fetch, is_public, query, verify_signatures, version_entry
from chalicelib.errors import CloudBusy
from chalicelib.openpgp import Signer
from chalicelib.snapshots.blocks import BLOCK_SIZE
from tests.keys import new_key

PRODUCT = "com.example.cloud.daily:server:24.04:amd64"
CONTENT_ID = "com.example.cloud:daily:aws"
UPDATED = "Fri, 20 Nov 2026 10:00:00 +0000"
VERSION = {"label": "daily", "items": {"usee1hs": {"id": "ami-1", "crsn": "us-east-1", "virt": "hvm", "root_store": "ssd"}}}
needs_readers = pytest.mark.skipif(shutil.which("gpgv") is None, reason="gpgv is not installed")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, Path]]:
    """A small signed tree: its folder, where it is served, and the keyring to read it with."""
    folder = tmp_path_factory.mktemp("public")
    (folder / "streams/v1").mkdir(parents=True)
    with new_key("signer") as key, Signer(key.private) as signer:
        for suffix in ("json", "sjson"):
            path = f"streams/v1/{CONTENT_ID}.{suffix}"
            common = {"content_id": CONTENT_ID, "datatype": "image-ids", "format": "products:1.0", "updated": UPDATED}
            products = common | {"products": {PRODUCT: {"arch": "amd64", "versions": {"20261120": VERSION}}}}
            listed = common | {"path": path, "products": [PRODUCT]}
            index = {"format": "index:1.0", "updated": UPDATED, "index": {CONTENT_ID: listed}}
            for name, document in ((path, products), (f"streams/v1/index.{suffix}", index)):
                text = json.dumps(document, indent=1).encode() + b"\n"
                (folder / name).write_bytes(text if suffix == "json" else signer.clearsign(text))
                (folder / f"{name}.gpg").write_bytes(signer.detach(text))
        keyring = folder / "signer.gpg"
        keyring.write_bytes(signer.public_key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", keyring
    server.shutdown()
    server.server_close()


@needs_readers
def test_the_readers_accept_what_is_signed(tree: tuple[Path, str, Path]) -> None:
    """sstream-query finds the AMI, gpgv accepts every file, and the entry is the one that is served."""
    _, url, keyring = tree
    (item,) = query(url, keyring, "crsn=us-east-1")
    assert item["id"] == "ami-1"
    assert len(verify_signatures(url, keyring)) == 4
    assert version_entry(url, item) == VERSION


@needs_readers
@pytest.mark.parametrize("suffix", ["json", "sjson"])
def test_a_changed_byte_is_found(tree: tuple[Path, str, Path], suffix: str) -> None:
    """One changed byte in a products file, in either form, is refused."""
    folder, url, keyring = tree
    file = folder / f"streams/v1/{CONTENT_ID}.{suffix}"
    true = file.read_bytes()
    try:
        file.write_bytes(true.replace(b"ami-1", b"ami-2"))
        with pytest.raises(NotProven, match=f"gpgv refuses {file.relative_to(folder)}"):
            verify_signatures(url, keyring)
        if suffix == "sjson":
            with pytest.raises(NotProven, match="sstream-query refuses"):
                query(url, keyring)
    finally:
        file.write_bytes(true)


def test_a_missing_file_is_said_with_its_address(tree: tuple[Path, str, Path]) -> None:
    """What cannot be fetched is named by its URL."""
    _, url, _ = tree
    with pytest.raises(CloudBusy, match=f"{url}/nothing"):
        fetch(url, "nothing")


class FakeEbs:
    """One snapshot, given as its blocks by index."""

    region = "eu-west-1"

    def __init__(self, blocks: dict[int, bytes], checksum: str = "") -> None:
        self.blocks = blocks
        self.checksum = checksum

    def list_snapshot_blocks(self, **parameters: str) -> dict[str, Any]:
        """One block a page."""
        page = int(parameters.get("NextToken", 0))
        listed = [{"BlockIndex": index, "BlockToken": f"token-{index}"} for index in self.blocks]
        more = {"NextToken": str(page + 1)} if page + 1 < len(listed) else {}
        return {"Blocks": listed[page : page + 1], **more}

    def get_snapshot_block(self, **parameters: Any) -> dict[str, Any]:
        index = parameters["BlockIndex"]
        assert parameters["BlockToken"] == f"token-{index}"
        data = self.blocks[index]
        checksum = self.checksum or base64.b64encode(hashlib.sha256(data).digest()).decode()
        return {"BlockData": BytesIO(data), "Checksum": checksum}


A, ZERO = b"a" * BLOCK_SIZE, bytes(BLOCK_SIZE)
END = b"end".ljust(BLOCK_SIZE, b"\0")
IMAGE = A + ZERO + b"end"


def compare(tmp_path: Path, blocks: dict[int, bytes], checksum: str = "") -> int:
    image = tmp_path / "disk.img"
    image.write_bytes(IMAGE)
    fake: Any = FakeEbs(blocks, checksum)
    return equals_image(fake, "snap-1", image)


@pytest.mark.parametrize("blocks", [{0: A, 1: ZERO, 2: END}, {0: A, 2: END}, {0: A, 2: END, 7: ZERO}])
def test_an_equal_snapshot(tmp_path: Path, blocks: dict[int, bytes]) -> None:
    """Blocks that were never written are zeros, and zeros behind the image's end do no harm."""
    assert compare(tmp_path, blocks) == 3


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ({0: A[:-1] + b"b", 2: END}, f"differs from the image at byte {BLOCK_SIZE - 1}"),
        ({0: A}, f"differs from the image at byte {2 * BLOCK_SIZE}"),
        ({0: A, 1: END, 2: END}, f"differs from the image at byte {BLOCK_SIZE}"),
        ({0: A, 2: END, 7: A}, "has data in block 7, behind the image's end"),
    ],
)
def test_a_different_snapshot(tmp_path: Path, blocks: dict[int, bytes], sentence: str) -> None:
    """A changed byte, a missing block, one that should be zeros and one too many are all found, and where."""
    with pytest.raises(NotProven, match=sentence):
        compare(tmp_path, blocks)


def test_a_block_that_does_not_fit_its_checksum(tmp_path: Path) -> None:
    """A block is compared with the checksum that came with it, too."""
    with pytest.raises(NotProven, match="does not have the checksum"):
        compare(tmp_path, {0: A, 2: END}, checksum="x")


@pytest.mark.parametrize(("state", "public"), [("pending", True), ("available", False)])
def test_an_ami_that_is_not_public_or_not_available(state: str, public: bool) -> None:
    """Both must hold, by EC2's own word."""

    class FakeEc2:
        region = "eu-west-1"

        def describe_images(self, **_: object) -> dict[str, Any]:
            return {"Images": [{"State": state, "Public": public}]}

    fake: Any = FakeEc2()
    with pytest.raises(NotProven, match="ami-1"):
        is_public(fake, "ami-1")
