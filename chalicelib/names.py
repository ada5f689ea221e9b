"""Names derived from a build: one place, so that the same build is called the same everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chalicelib.errors import BadManifest

MANIFEST_NAME = "build.sjson"
STATUS_NAME = "build.status.json"

#: Tag keys on everything Broadside creates in EC2.
TAG_BUILD = "broadside:build"
TAG_DIGEST = "broadside:digest"

PRODUCT_PATTERN = r"[a-z0-9][a-z0-9.-]*(:[A-Za-z0-9][A-Za-z0-9._-]*){3}"
STREAM_PATTERN = r"[a-z][a-z0-9-]{0,31}"
SERIAL_PATTERN = r"20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(\.[1-9][0-9]{0,3})?"

_BUILD = re.compile(f"(?P<product>{PRODUCT_PATTERN})/(?P<stream>{STREAM_PATTERN})/(?P<serial>{SERIAL_PATTERN})")


@dataclass(frozen=True)
class BuildId:
    """One build: ``com.example.cloud:server:24.04:amd64`` / ``daily`` / ``20261120.1``.

    As text the three parts are joined by slashes; none of them can contain one.
    """

    product: str
    stream: str
    serial: str

    @classmethod
    def parse(cls, text: str) -> BuildId:
        """Read ``product/stream/serial``.

        Raises:
            BadManifest: the text is not of that form.
        """
        match = _BUILD.fullmatch(text)
        if match is None:
            raise BadManifest(
                f"{text!r} does not name a build: expected PRODUCT/STREAM/SERIAL, "
                "for example com.example.cloud:server:24.04:amd64/daily/20261120."
            )
        return cls(match["product"], match["stream"], match["serial"])

    def __str__(self) -> str:
        return f"{self.product}/{self.stream}/{self.serial}"

    @property
    def sort_key(self) -> tuple[str, str, tuple[int, ...]]:
        """Orders builds by product, stream and serial, the serial by its numbers (20261120.10 after 20261120.9)."""
        return (self.product, self.stream, tuple(int(part) for part in self.serial.split(".")))

    @property
    def folder(self) -> str:
        """Where the build's files lie, in the builds bucket by habit and under ``images/`` in the public one always."""
        return f"{self.product.replace(':', '/')}/{self.stream}/{self.serial}"

    @property
    def image_name(self) -> str:
        """The AMI's name, unique per build; RegisterImage allows 3-128 characters of ``A-Za-z0-9()[] ./-'@_``."""
        return self.folder

    def public_path(self, file: str) -> str:
        """Where readers download a file of this build, relative to the public root."""
        return f"images/{self.folder}/{file}"

    def execution_name(self, digest: str, attempt: int = 0) -> str:
        """The name of the publish execution: the same for the same manifest, so that it starts exactly once.

        Step Functions allows 80 characters of ``A-Za-z0-9-_``.  ``attempt`` counts the retries that a person asked for.
        """
        name = f"{self.stream[:16]}-{self.serial.replace('.', '-')}-{digest[:32]}"
        return f"{name}-retry-{attempt}" if attempt else name

    def tags(self, digest: str) -> dict[str, str]:
        """The tags of every AMI and snapshot of this build; ``digest`` is the SHA-256 of its manifest in hex."""
        return {
            "Name": self.image_name,
            TAG_BUILD: str(self),
            TAG_DIGEST: digest,
            "broadside:product": self.product,
            "broadside:stream": self.stream,
            "broadside:serial": self.serial,
        }


def client_token(digest: str, region: str, attempt: int) -> str:
    """A token for StartSnapshot or CopyImage: at most 64 ASCII characters, the same for the same try and no other.

    A token of a snapshot that failed must not be used again, therefore the attempt's number.
    """
    return f"{digest[:32]}-{region}-{attempt}"
