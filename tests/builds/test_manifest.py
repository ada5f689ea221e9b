"""The manifest's schema: what it takes, and the one sentence for each fault."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.builds import schema
from chalicelib.builds.manifest import GIB, MAX_FILES, Manifest
from chalicelib.errors import BadManifest
from tests.examples import BUILD, CONTENT, file, manifest, text


def fault(**changes: Any) -> str:
    """The sentence with which a changed manifest is refused."""
    with pytest.raises(BadManifest) as caught:
        Manifest.parse(text(**changes))
    return str(caught.value)


def test_a_good_manifest_is_read_whole() -> None:
    """All that the other rooms ask of it."""
    parsed = Manifest.parse(text())
    assert parsed.id == BUILD
    assert parsed.ec2_architecture == "x86_64"
    assert parsed.description() == "example 24.04 amd64 daily 20261120"
    assert parsed.support_eol == date(2029, 5, 31)
    assert parsed.file("disk.img").size == len(CONTENT)
    with pytest.raises(BadManifest, match=r"names no file 'other\.img'"):
        parsed.file("other.img")


def test_the_index_gives_back_what_was_signed() -> None:
    """The JSON kept in a record is the manifest, no more and no less."""
    parsed = Manifest.parse(text())
    assert parsed.model_dump(mode="json") == manifest()
    assert Manifest.model_validate(manifest()) == parsed


def test_what_need_not_be_said_has_a_sensible_default() -> None:
    """A manifest written by hand can be short."""
    document = manifest()
    for name in ("aliases", "supported", "support_eol"):
        del document[name]
    document["ec2"] = {"image": "disk.img", "boot_mode": "uefi", "root_volume_size": 8}
    parsed = Manifest.parse(json.dumps(document).encode())
    assert (parsed.aliases, parsed.supported, parsed.support_eol) == ([], True, None)
    assert (parsed.ec2.imds, parsed.ec2.tpm, parsed.ec2.ena, parsed.ec2.sriov) == (None, None, True, True)
    assert (parsed.ec2.root_device, parsed.ec2.root_volume_type) == ("/dev/sda1", "gp3")


def test_arm64_is_called_arm64_by_ec2_too() -> None:
    """Unlike amd64."""
    parsed = Manifest.parse(text(arch="arm64", product="com.example:server:1:arm64", ec2__boot_mode="uefi"))
    assert parsed.ec2_architecture == "arm64"


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": "20261120.12"},
        {"support_eol": None},
        {"aliases": []},
        {"ec2__imds": None},
        {"ec2__boot_mode": "uefi", "ec2__tpm": "v2.0"},
        {"ec2__boot_mode": "legacy-bios"},
        {"ec2__root_device": "/dev/xvda"},
        {"ec2__description": "plain {{braces}}"},
        {"files__0__size": 32 * GIB, "ec2__root_volume_size": 32},
        {"files__0__size": 9 * GIB, "ec2__format": "vhd"},
        {"release_title": "Ünïcode 24.04"},
    ],
)
def test_what_is_allowed(changes: dict[str, Any]) -> None:
    """The edges of the schema that are still inside."""
    Manifest.parse(text(**changes))


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"colour": "blue"}, "The manifest has the field colour, which broadside-build:1 does not know."),
    ({"ec2__region": "x"}, "has the field ec2.region"),
    ({"serial": "20261320"}, "field serial must be a date"),
    ({"serial": "20261120.0"}, "field serial must be a date"),
    ({"serial": "20261120\n"}, "field serial must be a date"),
    ({"serial": "20261131"}, "field serial must begin with a date that exists"),
    ({"serial": 20261120}, "field serial must be a valid string; it is 20261120."),
    ({"product": "server"}, "field product must be a product such as"),
    ({"product": "a:b:c:arm64"}, "field product must end in :amd64, since arch is amd64."),
    ({"product": "a" * 140 + ":b:c:amd64"}, "AMI name of more than 128 characters"),
    ({"stream": "Daily"}, "field stream must be a stream such as daily"),
    ({"label": "a/b"}, "field label must be"),
    ({"os": ""}, "field os must be"),
    ({"version": "1 2"}, "field version must be a version"),
    ({"arch": "x86_64"}, "field arch must be 'amd64' or 'arm64'; it is 'x86_64'."),
    ({"release_title": "tab\there"}, "field release_title must be 1 to 100 printable characters"),
    ({"release_codename": " x"}, "field release_codename must be 1 to 100 printable characters"),
    ({"release_codename": "\ud800"}, "field release_codename must be text without lone surrogates"),
    ({"aliases": ["Noble"]}, "field aliases[0] must be"),
    ({"aliases": ["a,b"]}, "field aliases[0] must be"),
    ({"aliases": ["a", "a"]}, "field aliases must not name anything twice"),
    ({"supported": 1}, "field supported must be a valid boolean"),
    ({"supported": "true"}, "field supported must be a valid boolean"),
    ({"support_eol": "31.5.2029"}, "field support_eol must be a date such as 2029-05-31"),
    ({"support_eol": "2029-02-30"}, "field support_eol must be a date such as 2029-05-31"),
    ({"support_eol": 1900000000}, "field support_eol must be a date such as 2029-05-31"),
    ({"files": []}, "field files must have at least 1 item"),
    ({"files": "disk.img"}, "field files must be a JSON array"),
    ({"files__0": "disk.img"}, "field files[0] must be a JSON object"),
    ({"files__0__path": "../disk.img"}, "field files[0].path must be the name of a file beside the manifest"),
    ({"files__0__path": ".."}, "field files[0].path must be"),
    ({"files__0__path": "a/b"}, "field files[0].path must be"),
    ({"files__0__path": "/etc/passwd"}, "field files[0].path must be"),
    ({"files__0__path": "a+b"}, "field files[0].path must be"),
    ({"files__0__path": "build.sjson"}, "field files[0].path must not be build.sjson"),
    ({"files__0__path": "build.status.json"}, "field files[0].path must not be build.status.json"),
    ({"files__0__size": 0}, "field files[0].size must be greater than or equal to 1"),
    ({"files__0__size": -1}, "field files[0].size must be"),
    ({"files__0__size": 32 * GIB + 1}, "field files[0].size must be less than or equal to 34359738368"),
    ({"files__0__size": 1.0}, "field files[0].size must be a valid integer"),
    ({"files__0__size": "1"}, "field files[0].size must be a valid integer"),
    ({"files__0__size": True}, "field files[0].size must be a valid integer"),
    ({"files__0__sha256": "A" * 64}, "field files[0].sha256 must be the SHA-256 as 64 lower-case hex digits"),
    ({"files__0__sha512": "a" * 64}, "field files[0].sha512 must be"),
    ({"files__0__md5": ""}, "field files[0].md5 must be"),
    ({"ec2": None}, "field ec2 must be a JSON object"),
    ({"ec2__image": "other.img"}, "field ec2.image names other.img, which is not among files."),
    ({"ec2__boot_mode": "bios"}, "field ec2.boot_mode must be 'uefi-preferred', 'uefi' or 'legacy-bios'"),
    ({"ec2__tpm": "v2.0"}, "field ec2.tpm needs boot_mode uefi, not uefi-preferred."),
    ({"ec2__imds": "v1.0"}, "field ec2.imds must be 'v2.0'"),
    ({"ec2__ena": "yes"}, "field ec2.ena must be a valid boolean"),
    ({"ec2__root_device": "/dev/sdb"}, "field ec2.root_device must be"),
    ({"ec2__root_volume_type": "io2"}, "field ec2.root_volume_type must be"),
    ({"ec2__root_volume_size": 0}, "field ec2.root_volume_size must be"),
    ({"ec2__root_volume_size": 2000, "ec2__root_volume_type": "standard"}, "at most 1024 GiB for standard"),
    (
        {"ec2__format": "qcow"},
        "field ec2.format must be 'raw', 'raw.gz', 'raw.xz', 'raw.zst', 'qcow2', 'vmdk', 'vhd' or 'vhdx'",
    ),
    ({"files__0__size": 8 * GIB + 1}, "field ec2.root_volume_size must be at least 9 GiB to hold disk.img."),
    ({"ec2__description": "{colour}"}, "field ec2.description may name only {product}, {stream}"),
    ({"ec2__description": "{os.__class__}"}, "field ec2.description may name only"),
    ({"ec2__description": "{os!r}"}, "field ec2.description may name only"),
    ({"ec2__description": "{os:>9999999999}"}, "field ec2.description may name only"),
    ({"ec2__description": "{}"}, "field ec2.description may name only"),
    ({"ec2__description": "{os"}, "field ec2.description has unbalanced braces"),
    ({"ec2__description": "x" * 256}, "field ec2.description makes 256 characters; EC2 takes 1 to 255."),
    ({"ec2__description": "{release_title}", "release_title": "ü"}, "printable ASCII only"),
    ({"arch": "arm64", "product": "a:b:c:arm64"}, "field ec2.boot_mode must be uefi for arm64, not uefi-preferred."),
    (
        {"format": "broadside-build:2"},
        "must be 'broadside-build:1', the one this installation reads, not 'broadside-build:2'.",
    ),
    ({"format": None}, "not null."),
]


@pytest.mark.parametrize(("changes", "sentence"), FAULTS, ids=[f"{next(iter(each[0]))}-{n}" for n, each in enumerate(FAULTS)])
def test_each_fault_is_refused_in_one_sentence_that_names_the_field(changes: dict[str, Any], sentence: str) -> None:
    """Short, on one line, and in ASCII whatever the builder wrote."""
    said = fault(**changes)
    assert sentence in said
    assert said.isascii()
    assert said.isprintable()
    assert said.endswith(".")
    assert len(said) < 300


def test_a_missing_field_is_named() -> None:
    """With the place where it should be."""
    document = manifest()
    del document["files"][0]["sha512"]
    with pytest.raises(BadManifest, match=r"The manifest lacks the field files\[0\]\.sha512\."):
        Manifest.parse(json.dumps(document).encode())


def test_several_faults_are_told_at_once() -> None:
    """So that a builder does not find them one upload after the other."""
    said = fault(serial="x", arch="y", supported=0)
    assert said.count("The manifest's field") == 3


def test_a_file_is_named_once() -> None:
    """Neither two files of one path nor two of one type, which would be one item in the streams."""
    one = file("disk.img", "disk1.img", CONTENT)
    assert "files must have each path once" in fault(files=[one, one])
    assert "files must have each ftype once" in fault(files=[one, {**one, "path": "other.img"}])


def test_more_files_than_anybody_needs_are_refused() -> None:
    """A bound on the work that one manifest can cause."""
    many = [file(f"f{number}", f"t{number}", CONTENT) for number in range(MAX_FILES + 1)]
    many[0]["path"] = "disk.img"
    assert "files must have at most 64 items" in fault(files=many)
    Manifest.parse(text(files=many[:-1]))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"format": 1, "format": 2}', "field format is there twice"),
        (b'{"format": "broadside-build:1", "ec2": {"a": 1, "a": 2}}', "field a is there twice"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1}\n{"a": 1}', "not JSON: Extra data at line 2, column 1"),
        (b"{'a': 1}", "not JSON"),
        (b"", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"{}", "field format must be"),
        (b"[" * 100_000, "too large"),
        (b"9" * 5_000, "too large"),
    ],
)
def test_what_is_not_a_json_object_is_refused(data: bytes, sentence: str) -> None:
    """JSON as the standard has it, not as Python takes it."""
    with pytest.raises(BadManifest, match=sentence):
        Manifest.parse(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    *manifest(),
    *(f"ec2__{name}" for name in manifest()["ec2"]),
    *(f"files__0__{name}" for name in manifest()["files"][0]),
]


@given(st.dictionaries(st.sampled_from([*FIELDS, "files__0", "extra", "ec2__extra"]), JSON, min_size=1, max_size=3))
def test_no_value_anywhere_raises_anything_but_bad_manifest(changes: dict[str, Any]) -> None:
    """And what is taken goes through the index unchanged."""
    changes = dict(sorted(changes.items(), key=lambda each: -each[0].count("_")))  # inner fields first, then what holds them
    try:
        parsed = Manifest.parse(text(**changes))
    except BadManifest:
        return
    assert Manifest.model_validate(parsed.model_dump(mode="json")) == parsed


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda value: value.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_but_bad_manifest(data: bytes) -> None:
    """Whatever somebody signs."""
    with pytest.raises(BadManifest):
        Manifest.parse(data)


SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


def test_the_published_schema_is_the_model_s() -> None:
    """Made anew by ``python -m chalicelib.builds.schema > docs/manifest.schema.json``."""
    assert SCHEMA.read_text(encoding="utf-8") == schema.document()


def test_the_published_schema_takes_what_the_model_takes() -> None:
    """A builder's editor and we agree on a good manifest and on the plain faults."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    validator.check_schema(validator.schema)
    validator.validate(manifest())
    for changes in ({"colour": 1}, {"serial": "x"}, {"files__0__path": "../x"}, {"files__0__size": "1"}, {"ec2__tpm": "1"}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(manifest(**changes))
