"""The signing function: the index has changed, so the public files are brought up to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from chalicelib.errors import SetupWrong
from chalicelib.handlers import wiring
from chalicelib.handlers.edge import source
from chalicelib.observability import logger
from chalicelib.openpgp import Signer
from chalicelib.streams.publish import publish


@source
def publish_streams(event: dict[str, Any]) -> dict[str, Any]:
    """A batch of changes of the index table (DynamoDB stream).  They say what may have changed, the table says how.

    All of the batch succeeds or fails together, so no failure is reported for a part of it.
    """
    with _signer() as signer:
        published = publish(
            wiring.settings().public_bucket,
            wiring.index(),
            wiring.home("s3"),
            signer,
            changed=changed_streams(event),
            now=datetime.now(UTC),
        )
    logger.info("published", generation=published.generation, written=len(published.written))
    return {"batchItemFailures": []}


def changed_streams(event: dict[str, Any]) -> set[str] | None:
    """The streams that a batch speaks of; None, for all, when it holds the request for a refresh.

    A stream is the partition of its builds (see :mod:`chalicelib.index.records`); the other partitions begin with ``#``.
    """
    keys = [record["dynamodb"]["Keys"] for record in event["Records"]]
    if any(key["pk"]["S"] == "#streams" and key["sk"]["S"] == "#refresh" for key in keys):
        return None
    return {key["pk"]["S"] for key in keys if not key["pk"]["S"].startswith("#")}


def _signer() -> Signer:
    """The signing key, read anew each time: a rotated key counts at once."""
    arn = wiring.settings().signing_secret
    answer = wiring.home("secretsmanager").get_secret_value(SecretId=arn)
    try:
        secret = json.loads(answer["SecretString"])
        return Signer(str(secret["private_key"]), str(secret["passphrase"]))
    except (KeyError, TypeError, ValueError):
        # Without the cause: its text may quote what the secret holds.
        raise SetupWrong(
            f'The secret {arn} must hold {{"private_key": an armored OpenPGP key, "passphrase": text}}: put it there anew.'
        ) from None
