"""Looking at what was published as somebody else would: with the readers' own programs, and at the blocks behind an AMI.

Nothing here trusts the index or the functions that wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

from chalicelib.errors import BroadsideError, CloudBusy, SetupWrong
from chalicelib.snapshots.blocks import BLOCK_SIZE, ZERO_BLOCK

if TYPE_CHECKING:  # slow to import, and here only for the annotation
    from chalicelib.aws import Client

#: Seconds that a reader may take.
READER_TIMEOUT = 120
HTTP_TIMEOUT = 30


class NotProven(BroadsideError):
    """What was published is not what it should be; the sentence says what and where."""


# --- The query files -----------------------------------------------------------------------------------------------


def query(public_url: str, keyring: Path, *filters: str) -> list[dict[str, Any]]:
    """The items that ``sstream-query`` finds, after it verified every file on its way with the binary ``keyring``.

    Raises:
        NotProven: it refused the files.
        SetupWrong: the program, or gpgv, is not installed.
    """
    _program("gpgv")
    command = [_program("sstream-query"), f"--keyring={keyring}", "--json", _root(public_url), *filters]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=READER_TIMEOUT, check=False)  # noqa: S603 - no shell
    if answer.returncode != 0:
        raise NotProven(f"sstream-query refuses {public_url}: {_last_line(answer.stderr)}")
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def verify_signatures(public_url: str, keyring: Path) -> list[str]:
    """Have ``gpgv`` verify the index and every file it names, in both forms: clearsigned, and with the signature beside it.

    Returns:
        the paths that it accepted.

    Raises:
        NotProven: it refused one.
        SetupWrong: gpgv is not installed.
        CloudBusy: a file could not be fetched.
    """
    accepted = []
    for index in ("streams/v1/index.sjson", "streams/v1/index.json"):
        text = _verified(public_url, index, keyring)
        accepted.append(index)
        for path in sorted(entry["path"] for entry in json.loads(text)["index"].values()):
            _verified(public_url, path, keyring)
            accepted.append(path)
    return accepted


def version_entry(public_url: str, item: dict[str, Any]) -> dict[str, Any]:
    """The version, with all its items, that a found ``item`` belongs to, as it stands in the products file.

    Raises:
        CloudBusy: a file could not be fetched.
    """
    index = json.loads(fetch(public_url, "streams/v1/index.json"))
    document = json.loads(fetch(public_url, index["index"][item["content_id"]]["path"]))
    version: dict[str, Any] = document["products"][item["product_name"]]["versions"][item["version_name"]]
    return version


def fetch(public_url: str, path: str) -> bytes:
    """One public file, as anybody gets it.

    Raises:
        CloudBusy: it could not be fetched.
    """
    with _opened(public_url, path) as answer:
        return answer.read()


@contextmanager
def _opened(public_url: str, path: str) -> Iterator[IO[bytes]]:
    try:
        with urllib.request.urlopen(_root(public_url) + path, timeout=HTTP_TIMEOUT) as answer:  # noqa: S310 - the stack's own URL
            yield answer
    except OSError as error:  # urllib's own errors are among them
        raise CloudBusy(f"{_root(public_url)}{path} could not be fetched: {error}") from error


def download(public_url: str, item: dict[str, Any]) -> int:
    """Download the file of a found ``item`` and compare its size and SHA-256 with what the signed file says of it.

    Returns:
        its size in bytes.

    Raises:
        NotProven: they differ.
        CloudBusy: the file could not be fetched.
    """
    digest, size = hashlib.sha256(), 0
    with _opened(public_url, item["path"]) as answer:
        while chunk := answer.read(1024 * 1024):
            digest.update(chunk)
            size += len(chunk)
    if (size, digest.hexdigest()) != (int(item["size"]), item["sha256"]):
        raise NotProven(
            f"{item['path']} has {size} bytes and the SHA-256 {digest.hexdigest()}, not what the signed file says."
        )
    return size


def _verified(public_url: str, path: str, keyring: Path) -> bytes:
    """The signed content of a public file."""
    content = fetch(public_url, path)
    with TemporaryDirectory() as folder:
        file, output = Path(folder, "file"), Path(folder, "output")
        file.write_bytes(content)
        command = [_program("gpgv"), "--keyring", str(keyring.absolute())]
        if path.endswith(".sjson"):
            command += ["--output", str(output), str(file)]
        else:
            Path(folder, "signature").write_bytes(fetch(public_url, f"{path}.gpg"))
            command += [str(Path(folder, "signature")), str(file)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=READER_TIMEOUT, check=False)  # noqa: S603 - no shell
        if answer.returncode != 0:
            raise NotProven(f"gpgv refuses {path}: {_last_line(answer.stderr)}")
        return output.read_bytes() if path.endswith(".sjson") else content


def _root(url: str) -> str:
    """Readers take a folder for a folder only with the slash at its end."""
    return url.rstrip("/") + "/"


def _program(name: str) -> str:
    """A program of this Python's own environment, or of the PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        package = {"gpgv": "apt install gpgv", "sstream-query": "pip install '.[local]' in a checkout"}.get(name, name)
        raise SetupWrong(f"{name} is not installed: {package}.")
    return found


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it does not say why."


# --- The AMIs and what is behind them ------------------------------------------------------------------------------


def is_public(ec2: Client, image_id: str) -> None:
    """See that EC2 says of the AMI that it is available and public.

    Raises:
        NotProven: it does not.
        CloudError: EC2 did not answer, or refused.
    """
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    if image["State"] != "available" or not image["Public"]:
        raise NotProven(f"{ec2.region}: {image_id} is {image['State']} and {'public' if image['Public'] else 'private'}.")


def equals_image(ebs: Client, snapshot_id: str, image: Path) -> int:
    """Read the snapshot back through the EBS direct API and compare it with the image, byte for byte.

    A block that was never written counts as zeros, and so does what follows the image's end in its last block.

    Returns:
        the number of blocks compared.

    Raises:
        NotProven: they differ; the sentence names the first byte.
        CloudError: EBS did not answer, or refused.
    """
    tokens = _tokens(ebs, snapshot_id)
    count = 0
    for number, expected in enumerate(_blocks(image)):
        token = tokens.pop(number, None)
        actual = ZERO_BLOCK if token is None else _block(ebs, snapshot_id, number, token)
        if actual != expected:
            at = next(offset for offset in range(BLOCK_SIZE) if actual[offset : offset + 1] != expected[offset : offset + 1])
            raise NotProven(f"{ebs.region}: {snapshot_id} differs from the image at byte {number * BLOCK_SIZE + at}.")
        count += 1
    for number, token in tokens.items():
        if _block(ebs, snapshot_id, number, token) != ZERO_BLOCK:
            raise NotProven(f"{ebs.region}: {snapshot_id} has data in block {number}, behind the image's end.")
    return count


def _tokens(ebs: Client, snapshot_id: str) -> dict[int, str]:
    """The token of every block that was written, by its index.  boto3 has no paginator for this call."""
    tokens: dict[int, str] = {}
    more: dict[str, str] = {}
    while True:
        answer = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, **more)
        tokens |= {int(block["BlockIndex"]): str(block["BlockToken"]) for block in answer["Blocks"]}
        if not answer.get("NextToken"):
            return tokens
        more = {"NextToken": answer["NextToken"]}


def _blocks(image: Path) -> Iterator[bytes]:
    with image.open("rb") as file:
        while block := file.read(BLOCK_SIZE):
            yield block.ljust(BLOCK_SIZE, b"\0")


def _block(ebs: Client, snapshot_id: str, number: int, token: str) -> bytes:
    answer = ebs.get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=number, BlockToken=token)
    data: bytes = answer["BlockData"].read()
    if base64.b64encode(hashlib.sha256(data).digest()).decode("ascii") != answer["Checksum"]:
        raise NotProven(f"{ebs.region}: block {number} of {snapshot_id} does not have the checksum that came with it.")
    return data
