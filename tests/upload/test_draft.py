"""What a builder may leave out, and what is made of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broadside.upload import Draft, text
from broadside.upload.draft import file_type
from chalicelib.builds.manifest import GIB, Manifest
from chalicelib.errors import BadDisk, BadManifest, FileMismatch

PRODUCT = "com.example.cloud:server:24.04:amd64"

YAML = """
product: com.example.cloud:server:24.10:amd64
stream: released
serial: 20261120
version: 24.10
release: on
supported: true
support_eol: 2029-05-31
files:
  - path: out/disk.img
    ftype: disk1.img
  - path: out/root.tar.xz
ec2:
  image: disk.img
  boot_mode: uefi
  imds: null
  root_volume_size: 10
"""


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A description in YAML beside a folder with two files."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "disk.img").write_bytes(b"disk")
    (tmp_path / "out" / "root.tar.xz").write_bytes(b"root")
    path = tmp_path / "build.yaml"
    path.write_text(YAML)
    return path


def test_a_product_and_an_image_are_enough(image: Path) -> None:
    """The rest follows from the product's name, the calendar and the image."""
    manifest = Draft.of(image, product=PRODUCT).manifest()
    assert manifest.stream == "daily"
    assert manifest.serial == f"{datetime.now(UTC):%Y%m%d}"
    assert (manifest.label, manifest.os, manifest.release, manifest.version) == ("daily", "example", "24.04", "24.04")
    assert (manifest.arch, manifest.aliases, manifest.support_eol) == ("amd64", [], None)
    assert (manifest.ec2.boot_mode, manifest.ec2.imds, manifest.ec2.root_volume_size) == ("uefi-preferred", "v2.0", 8)
    (file,) = manifest.files
    assert (file.path, file.ftype, file.size) == ("disk.img", "disk1.img", image.stat().st_size)
    for name in ("sha256", "sha512", "md5"):
        assert getattr(file, name) == hashlib.new(name, image.read_bytes()).hexdigest()


def test_only_a_release_takes_the_common_aliases(image: Path) -> None:
    """Readers hand out the newest image of an alias, which would be the daily."""
    released = Draft.of(image, product=PRODUCT, stream="released", release="noble").manifest()
    assert released.aliases == ["24.04", "noble"]
    assert released.label == "release"
    assert Draft.of(image, product=PRODUCT, release="noble").manifest().aliases == []


def test_arm64_and_tpm_boot_by_uefi(image: Path) -> None:
    """EC2 knows no other way for them."""
    assert Draft.of(image, product="com.example:server:1:arm64").manifest().ec2.boot_mode == "uefi"
    assert Draft.of(image, product=PRODUCT).with_({}, {"tpm": "v2.0"}, {}).manifest().ec2.boot_mode == "uefi"


def test_a_large_image_gets_a_volume_that_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole GiB."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 9 * GIB + 1)  # sparse
    monkeypatch.setattr("broadside.upload.draft._chunks", lambda *_: [])  # nine gigabytes are not hashed here
    with pytest.raises(BadManifest, match=r"files\[0\]\.size"):  # what was hashed is what counts
        Draft.of(path, product=PRODUCT).manifest()
    draft = Draft.of(path, product=PRODUCT)
    assert (
        draft._parse([{"size": 9 * GIB + 1, "sha256": "0" * 64, "sha512": "0" * 128, "md5": "0" * 32}]).ec2.root_volume_size
        == 10
    )


@pytest.mark.parametrize(
    ("name", "options", "format_"),
    [
        ("disk.qcow2", ["-O", "qcow2", "-c"], "qcow2"),
        ("disk.img", ["-O", "vmdk"], "vmdk"),
        ("disk.vhdx", ["-O", "vhdx"], "vhdx"),
    ],
)
def test_an_image_with_tables_tells_its_format_and_size(tmp_path: Path, name: str, options: list[str], format_: str) -> None:
    """The volume holds the disk, however small the file is; what is said counts, unless it cannot be."""
    with (tmp_path / "disk.raw").open("wb") as file:
        os.truncate(file.fileno(), 9 * GIB + 512)
    subprocess.run(["qemu-img", "convert", "-f", "raw", *options, "disk.raw", name], cwd=tmp_path, check=True)
    draft = Draft.of(tmp_path / name, product=PRODUCT)
    manifest = draft.manifest()
    assert (manifest.ec2.format, manifest.ec2.root_volume_size) == (format_, 10)
    assert draft.with_({}, {"root_volume_size": 20}, {}).manifest().ec2.root_volume_size == 20
    with pytest.raises(BadManifest, match="at least 10 GiB"):
        draft.with_({}, {"root_volume_size": 9}, {}).manifest()
    with pytest.raises(BadDisk, match="begins as"):
        draft.with_({}, {"format": "vhd"}, {}).manifest()


def test_a_packed_disk_is_unpacked_for_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the volume's size is said; and what is packed badly is found before it is uploaded."""
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(gzip.compress(bytes(3 * 1024 * 1024)))
    monkeypatch.setattr("broadside.upload.draft.GIB", 1024 * 1024)
    monkeypatch.setattr("broadside.upload.draft.USUAL_VOLUME", 1)
    manifest = Draft.of(path, product=PRODUCT).manifest()
    assert (manifest.ec2.format, manifest.ec2.root_volume_size) == ("raw.gz", 3)
    path.write_bytes(path.read_bytes()[:-4])
    assert Draft.of(path, product=PRODUCT).with_({}, {"root_volume_size": 5}, {}).manifest().ec2.root_volume_size == 5
    with pytest.raises(BadDisk, match="cut off"):
        Draft.of(path, product=PRODUCT).manifest()


def test_a_damaged_image_is_found_before_the_long_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one whose name promises something else."""
    monkeypatch.setattr("broadside.upload.draft.digest", lambda _: pytest.fail("hashed"))
    (tmp_path / "disk.img").write_bytes(b"QFI\xfb" + bytes(1000))
    (tmp_path / "disk.vmdk").write_bytes(b"<html>not found</html>")
    for name, words in (("disk.img", "version 0"), ("disk.vmdk", "raw by its content")):
        with pytest.raises(BadDisk, match=words):
            Draft.of(tmp_path / name, product=PRODUCT).manifest()


def test_a_description_in_yaml_is_read_as_it_is_meant(described: Path) -> None:
    """A version is no number, a serial neither, a date is text, and `on` is a word."""
    manifest = Draft.read(described).manifest()
    assert (manifest.version, manifest.serial, manifest.release) == ("24.10", "20261120", "on")
    assert str(manifest.support_eol) == "2029-05-31"
    assert manifest.supported is True
    assert (manifest.ec2.imds, manifest.ec2.root_volume_size) == (None, 10)
    assert [(file.path, file.ftype, file.size) for file in manifest.files] == [
        ("disk.img", "disk1.img", 4),
        ("root.tar.xz", "root.tar.xz", 4),
    ]


def test_options_count_more_than_the_description(described: Path) -> None:
    """One description serves every day's build."""
    manifest = Draft.read(described).with_({"serial": "20261121"}, {"root_volume_size": 20}, {}).manifest()
    assert (manifest.serial, manifest.ec2.root_volume_size, manifest.version) == ("20261121", 20, "24.10")


def test_digests_in_the_description_are_held_to(described: Path) -> None:
    """A file that is not the one that was meant is not signed."""
    good = hashlib.sha256(b"disk").hexdigest()
    for digest, wrong in ((good, False), ("0" * 64, True)):
        described.write_text(YAML.replace("ftype: disk1.img", f"ftype: disk1.img\n    sha256: '{digest}'"))
        if wrong:
            with pytest.raises(FileMismatch, match=f"disk.img has the sha256 {good}, not {digest}"):
                Draft.read(described).manifest()
        else:
            Draft.read(described).manifest()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("- a list", "must hold the fields of a manifest"),
        ("", "must hold the fields of a manifest"),
        ("files: disk.img", "with files as a list"),
        ("files: [{ftype: x}]", "has a file without a path"),
        ("files: [", "cannot be read as YAML"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("product: a:b:c:amd64\ncolour: blue\nfiles: [{path: build.yaml}]", "field colour"),
        ("files: [{path: build.yaml}]", "Name the product"),
        ("product: nonsense\nfiles: [{path: build.yaml}]", "^The product must be like [^ ]*; it is 'nonsense'.$"),
        ("product: a:b:c:amd64\nfiles: [{path: nowhere.img}]", "There is no file"),
        ("product: a:b:c:amd64", "files must have at least 1 item"),
    ],
)
def test_a_description_that_makes_no_manifest_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    """In one sentence."""
    path = tmp_path / "build.yaml"
    path.write_text(content)
    with pytest.raises(BadManifest, match=sentence):
        Draft.read(path).manifest()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [("disk.img", b"", "disk.img is empty.$"), ("my disk.img", b"disk", "^Rename [^.]*my disk.img")],
)
def test_a_file_that_cannot_be_published_is_refused_once(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    """It is the image, too: one fault, one sentence."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadManifest, match=sentence) as refused:
        Draft.of(path, product=PRODUCT).manifest()
    assert str(refused.value).count(name) == 1


def test_two_files_of_one_name_are_refused(image: Path, tmp_path: Path) -> None:
    """They would lie in one folder."""
    other = tmp_path / "other" / "disk.img"
    with pytest.raises(BadManifest, match="same name"):
        Draft({"product": PRODUCT}, {}, {image: {}, other: {}}).manifest()


def test_faults_are_found_before_the_long_work(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hashes a disk for a typing mistake."""
    monkeypatch.setattr("broadside.upload.draft.digest", lambda _: pytest.fail("hashed"))
    with pytest.raises(BadManifest, match="field serial"):
        Draft.of(image, product=PRODUCT, serial="tomorrow").manifest()


def test_progress_is_told_to_the_last_byte(image: Path) -> None:
    """Per file."""
    told: list[tuple[str, int]] = []
    Draft.of(image, product=PRODUCT).manifest(lambda name, count: told.append((name, count)))
    assert sum(count for _, count in told) == image.stat().st_size
    assert {name for name, _ in told} == {"disk.img"}


def test_the_signed_text_is_the_manifest_in_short_lines(image: Path) -> None:
    """gpg cuts long ones."""
    manifest = Draft.of(image, product=PRODUCT, aliases=["a" * 60 for _ in range(1)]).manifest()
    signed: dict[str, Any] = json.loads(text(manifest))
    assert Manifest.model_validate(signed) == manifest
    assert max(map(len, text(manifest).split(b"\n"))) < 1100
    assert not any(line != line.rstrip() for line in text(manifest).split(b"\n"))


@pytest.mark.parametrize(
    ("name", "ftype"), [("a.qcow2", "qcow2"), ("root.tar.xz", "root.tar.xz"), ("b.manifest", "manifest"), ("README", "readme")]
)
def test_a_file_s_name_suggests_its_type(name: str, ftype: str) -> None:
    """Unless the builder says otherwise."""
    assert file_type(name) == ftype
