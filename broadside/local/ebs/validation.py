"""What the EBS direct APIs accept, as far as it can be told from the request alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from broadside.local.ebs.errors import invalid

MAX_VOLUME_GIB = 65_536
#: What a client may wait between two calls before the snapshot is given up, in minutes.
TIMEOUTS = range(10, 4321)
DEFAULT_TIMEOUT = 60
MAX_TAGS = 50
MAX_TOKEN = 64


def check_start(size: int, timeout: int | None, parent: str | None, encrypted: bool | None, kms_key: str | None) -> None:
    """Raise ValidationException for a size (GiB), a time-out (minutes) or a combination that is not allowed."""
    if not 1 <= size <= MAX_VOLUME_GIB:
        raise invalid(f"VolumeSize is 1 to {MAX_VOLUME_GIB} GiB, not {size}.", "INVALID_VOLUME_SIZE")
    if timeout is not None and timeout not in TIMEOUTS:
        raise invalid(f"Timeout is {TIMEOUTS[0]} to {TIMEOUTS[-1]} minutes, not {timeout}.")
    if parent is not None and encrypted is not None:
        raise invalid("ParentSnapshotId and Encrypted cannot be given together.")
    if kms_key is not None and not (encrypted or parent):
        raise invalid("KmsKeyArn needs Encrypted.", "INVALID_CUSTOMER_KEY")


def check_words(tags: Mapping[str, str], description: str, token: str) -> None:
    """Raise ValidationException for tags, a description or a client token that are too long or not allowed."""
    if len(tags) > MAX_TAGS or any(key.lower().startswith("aws:") or not 1 <= len(key) <= 127 for key in tags):
        raise invalid(f"There may be {MAX_TAGS} tags; their keys have 1 to 127 characters and no prefix aws:.", "INVALID_TAG")
    if any(len(value) > 255 for value in tags.values()):
        raise invalid("A tag's value may have 255 characters.", "INVALID_TAG")
    if len(description) > 255:
        raise invalid("The description may have 255 characters.")
    if len(token) > MAX_TOKEN or not token.isascii():
        raise invalid(f"The client token may have {MAX_TOKEN} ASCII characters.")


def decoded(checksum: str) -> bytes | None:
    """The bytes of a base64 checksum, or None when it is none."""
    try:
        return base64.b64decode(checksum, validate=True)
    except ValueError:
        return None
