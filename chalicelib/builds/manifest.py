"""The manifest of a build, format ``broadside-build:1``: strict, so that what is signed is what is published.

Nothing is coerced and nothing unknown is accepted: a field that an older installation would ignore is a field whose effect
the builder wrongly relies on.  ``docs/manifest.schema.json`` is made from these models.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import date
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from chalicelib.disks.signs import DiskFormat
from chalicelib.errors import BadManifest
from chalicelib.names import MANIFEST_NAME, PRODUCT_PATTERN, SERIAL_PATTERN, STATUS_NAME, STREAM_PATTERN, BuildId

FORMAT = "broadside-build:1"
GIB = 1024**3
MAX_FILES = 64
#: One function verifies a file in one go: within Lambda's 900 seconds, at a cautious 50 MB/s.
MAX_FILE_BYTES = 32 * GIB

#: EC2's limits: RegisterImage for name and description, the EBS user guide for volumes.
MAX_IMAGE_NAME = 128
MAX_DESCRIPTION = 255
MAX_VOLUME_GIB = {"gp3": 16_384, "gp2": 16_384, "standard": 1_024}

#: EC2's names of the architectures, by Debian's, which the streams use.
EC2_ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}

#: What a description template may name: fields of the manifest.
PLACEHOLDERS = (
    "product",
    "stream",
    "serial",
    "label",
    "os",
    "release",
    "version",
    "arch",
    "release_codename",
    "release_title",
)

#: Says in words what a pattern wants, for the sentence that refuses a value.
_WORDS: dict[str, str] = {}


def _text(pattern: str, words: str) -> Any:
    """A string field that matches the whole of ``pattern``; ``words`` complete the sentence "it must be ..."."""
    whole = f"^(?:{pattern})$"
    _WORDS[whole] = words
    return Field(pattern=whole, description=words[0].upper() + words[1:] + ".")


def _iso_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):  # a 31st of February
            return date.fromisoformat(value)
    if isinstance(value, date):
        return value
    raise PydanticCustomError("date", "must be a date such as 2029-05-31")


def _real_day(serial: str) -> str:
    try:
        date(int(serial[:4]), int(serial[4:6]), int(serial[6:8]))
    except ValueError:
        raise PydanticCustomError("serial", "must begin with a date that exists, such as 20261120") from None
    return serial


def _once(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("once", "must not name anything twice")
    return values


_TOKEN = r"[a-z0-9][a-z0-9._-]{0,63}"  # noqa: S105 - a word of the vocabulary, not a secret
FILE_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_TITLE = r"[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,98}[^\s\x00-\x1f\x7f-\x9f])?"

Product = Annotated[str, _text(PRODUCT_PATTERN, "a product such as com.example.cloud:server:24.04:amd64")]
Stream = Annotated[str, _text(STREAM_PATTERN, "a stream such as daily or released")]
Serial = Annotated[
    str, _text(SERIAL_PATTERN, "a date, and a count where needed: 20261120 or 20261120.1"), AfterValidator(_real_day)
]
Token = Annotated[
    str, _text(_TOKEN, "at most 64 lower-case letters, digits, dots, dashes and underscores, a letter or digit first")
]
Version = Annotated[str, _text(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", "a version such as 24.04")]
Title = Annotated[str, _text(_TITLE, "1 to 100 printable characters without white space around them")]
FileName = Annotated[
    str,
    _text(
        FILE_NAME_PATTERN,
        "the name of a file beside the manifest: letters, digits, dots, dashes and underscores, no folder",
    ),
]
Md5 = Annotated[str, _text(r"[0-9a-f]{32}", "the MD5 as 32 lower-case hex digits")]
Sha256 = Annotated[str, _text(r"[0-9a-f]{64}", "the SHA-256 as 64 lower-case hex digits")]
Sha512 = Annotated[str, _text(r"[0-9a-f]{128}", "the SHA-512 as 128 lower-case hex digits")]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class File(_Part):
    """One file of the build.  ``size`` in bytes; ``ftype`` is the simplestreams file type and the key of its item."""

    path: FileName
    ftype: Token
    size: int = Field(ge=1, le=MAX_FILE_BYTES)
    sha256: Sha256
    sha512: Sha512
    md5: Md5

    @model_validator(mode="after")
    def _not_a_name_of_ours(self) -> Self:
        if self.path in (MANIFEST_NAME, STATUS_NAME):
            raise ValueError(f"path must not be {self.path}, which Broadside itself uses")
        return self


class Ec2(_Part):
    """How the image is registered with EC2.  ``image`` is the path of the disk image, ``root_volume_size`` in GiB."""

    image: FileName
    format: DiskFormat = "raw"
    boot_mode: Literal["uefi-preferred", "uefi", "legacy-bios"]
    imds: Literal["v2.0"] | None = None
    tpm: Literal["v2.0"] | None = None
    ena: bool = True
    sriov: bool = True
    root_device: Literal["/dev/sda1", "/dev/xvda"] = "/dev/sda1"
    root_volume_type: Literal["gp3", "gp2", "standard"] = "gp3"
    root_volume_size: int = Field(ge=1, le=max(MAX_VOLUME_GIB.values()))
    description: str = Field(
        default="{os} {version} {arch} {stream} {serial}",
        min_length=1,
        max_length=1024,
        description="A template; it may name " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS) + ".",
    )

    @model_validator(mode="after")
    def _what_ec2_supports(self) -> Self:
        if self.tpm and self.boot_mode != "uefi":
            raise ValueError(f"tpm needs boot_mode uefi, not {self.boot_mode}")
        limit = MAX_VOLUME_GIB[self.root_volume_type]
        if self.root_volume_size > limit:
            raise ValueError(f"root_volume_size must be at most {limit} GiB for {self.root_volume_type}")
        return self


class Manifest(_Part):
    """The whole manifest.  ``support_eol`` is the last day of support, None where nothing is promised."""

    model_config = ConfigDict(title="Broadside build manifest")

    format: Literal["broadside-build:1"]
    product: Product
    stream: Stream
    serial: Serial
    label: Token
    os: Token
    release: Token
    version: Version
    arch: Literal["amd64", "arm64"]
    release_codename: Title
    release_title: Title
    aliases: Annotated[list[Token], AfterValidator(_once)] = Field(default=[], max_length=32)
    supported: bool = True
    support_eol: IsoDate | None = None
    files: list[File] = Field(min_length=1, max_length=MAX_FILES)
    ec2: Ec2

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """Read the signed text.

        Raises:
            BadManifest: it is not a manifest of this format; one sentence for each fault, naming the field.
        """
        value = _load(text)
        if not isinstance(value, dict):
            raise BadManifest("The manifest must be a JSON object.")
        if value.get("format") != FORMAT:
            given = _shown(value.get("format"))
            raise BadManifest(f"The manifest's field format must be '{FORMAT}', the one this installation reads, not {given}.")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise BadManifest(" ".join(_sentences(error))) from error

    @property
    def id(self) -> BuildId:
        return BuildId(self.product, self.stream, self.serial)

    @property
    def ec2_architecture(self) -> str:
        """The architecture as EC2 calls it."""
        return EC2_ARCHITECTURES[self.arch]

    def description(self) -> str:
        """The AMI's description: the template with the manifest's own fields filled in."""
        return self.ec2.description.format_map({name: getattr(self, name) for name in PLACEHOLDERS})

    def file(self, path: str) -> File:
        """The file of that path.

        Raises:
            BadManifest: there is none.
        """
        for file in self.files:
            if file.path == path:
                return file
        raise BadManifest(f"The manifest of {self.id} names no file {path!r}.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for key in ("path", "ftype"):
            if len({getattr(file, key) for file in self.files}) != len(self.files):
                raise ValueError(f"files must have each {key} once")
        if self.product.rpartition(":")[2] != self.arch:
            raise ValueError(f"product must end in :{self.arch}, since arch is {self.arch}")
        if len(self.id.image_name) > MAX_IMAGE_NAME:
            raise ValueError(f"product, stream and serial make an AMI name of more than {MAX_IMAGE_NAME} characters")
        image = next((file for file in self.files if file.path == self.ec2.image), None)
        if image is None:
            raise ValueError(f"ec2.image names {self.ec2.image}, which is not among files")
        if self.ec2.format == "raw" and self.ec2.root_volume_size * GIB < image.size:  # the others' disks are not known here
            needed = -(-image.size // GIB)
            raise ValueError(f"ec2.root_volume_size must be at least {needed} GiB to hold {image.path}")
        if self.arch == "arm64" and self.ec2.boot_mode != "uefi":
            raise ValueError(f"ec2.boot_mode must be uefi for arm64, not {self.ec2.boot_mode}")
        self._check_description()
        return self

    def _check_description(self) -> None:
        """EC2 takes up to 255 characters, and "character sets beyond ascii are not supported"."""
        try:
            parts = list(Formatter().parse(self.ec2.description))
        except ValueError as error:
            raise ValueError(f"ec2.description has unbalanced braces ({error})") from error
        for _, name, spec, conversion in parts:
            if name is not None and (name not in PLACEHOLDERS or spec or conversion):
                raise ValueError(f"ec2.description may name only {', '.join(f'{{{known}}}' for known in PLACEHOLDERS)}")
        rendered = self.description()
        if not 1 <= len(rendered) <= MAX_DESCRIPTION:
            raise ValueError(f"ec2.description makes {len(rendered)} characters; EC2 takes 1 to {MAX_DESCRIPTION}")
        if not (rendered.isascii() and rendered.isprintable()):
            raise ValueError("ec2.description makes characters that EC2 does not take: printable ASCII only")


def _load(text: bytes) -> Any:
    """JSON as the standard has it: UTF-8, no NaN, and no key twice in an object."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BadManifest(f"The manifest's field {_name(key)} is there twice in one object.")
            found[key] = value
        return found

    def no_constant(name: str) -> None:
        raise BadManifest(f"The manifest holds {name}, which is not JSON.")

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
    except UnicodeDecodeError as error:
        raise BadManifest(f"The manifest is not UTF-8 at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise BadManifest(f"The manifest is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or brackets a thousand deep
        raise BadManifest(
            "The manifest is not JSON that a manifest can be: a number or the nesting is far too large."
        ) from error


def _sentences(error: ValidationError) -> list[str]:
    """One sentence for each fault, ten at the most."""
    return [_sentence(fault) for fault in error.errors(include_url=False)[:10]]


def _sentence(fault: Any) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{_name(part)}" for part in fault["loc"]).lstrip(".")
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return f"The manifest lacks the field {where}."
    if kind == "extra_forbidden":
        return f"The manifest has the field {where}, which {FORMAT} does not know."
    if kind == "value_error":  # of a model's own rules, which name the field within the model
        return f"The manifest's field {where + '.' if where else ''}{context['error']}."
    if kind == "string_pattern_mismatch":
        must = f"must be {_WORDS[context['pattern']]}"
    else:
        must = _PYDANTIC_WORDS.get(kind) or re.sub("^(Input|String|List) should|,? after validation.*", _must, fault["msg"])
    return f"The manifest's field {where} {must}; it is {_shown(fault['input'])}."


#: Where pydantic speaks of Python rather than of JSON.
_PYDANTIC_WORDS = {
    "model_type": "must be a JSON object",
    "list_type": "must be a JSON array",
    "string_unicode": "must be text without lone surrogates",
}


def _must(match: re.Match[str]) -> str:
    return "must" if match[1] else ""


def _shown(value: object) -> str:
    """A value of the builder's in a sentence: ASCII, on one line, and short."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = ascii(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _name(field: str) -> str:
    """The name of a field in a sentence: bare where it is a plain one."""
    return field if re.fullmatch(r"\w{1,40}", field, re.ASCII) else _shown(field)
