"""The one door to AWS: boto3 clients whose errors are Broadside's own.

Callers never see a botocore exception: what is worth trying again is :class:`CloudBusy`, everything else
:class:`CloudRefused`, both with AWS's own error code in ``code``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from chalicelib.errors import CloudBusy, CloudError, CloudRefused, CloudSilent

#: Codes that mean "not now".  Sources: the services' API references, and AWS's "Error retries" guide.
RETRYABLE_CODES = frozenset(
    {
        "ConcurrentLimitExceededException",  # EBS direct: too many calls at once
        "ConditionalRequestConflict",  # S3: two conditional writes met; the outcome of neither is known yet
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "InvalidAMIID.NotFound",  # a just-created id may not be visible yet; final only after it was retried for long
        "InvalidAMIID.Unavailable",
        "InvalidSnapshot.NotFound",
        "OperationAborted",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",  # DynamoDB: a single write met a transaction
        "TransactionInProgressException",
        "Unavailable",
    }
)

#: Seconds after which every AWS API shows what was created; until then "not found" proves nothing.
VISIBLE_AFTER = 600


def config(*, connections: int = 10, read_timeout: int = 30, attempts: int = 4) -> Config:
    """The client configuration: bounded time-outs, ``standard`` retries, checksums only where the API demands them."""
    return Config(
        connect_timeout=5,
        read_timeout=read_timeout,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


class Client:
    """A boto3 client that raises Broadside's errors.

    Methods are boto3's own (``client.describe_images(Owners=["self"])``); :meth:`pages` walks a paginated one.
    """

    def __init__(self, service: str, region: str, client: Any) -> None:
        self.service = service
        self.region = region
        self.raw = client

    def __getattr__(self, action: str) -> Any:
        method = getattr(self.raw, action)

        def call(**parameters: Any) -> Any:
            try:
                return method(**parameters)
            except (ClientError, BotoCoreError) as error:
                raise translate(error, self.service, action, self.region) from error

        return call

    def pages(self, action: str, key: str, **parameters: Any) -> Iterator[Any]:
        """Yield the items under ``key`` of every page.  AWS pages as it likes: a caller always asks for all of them."""
        try:
            for page in self.raw.get_paginator(action).paginate(**parameters):
                yield from page.get(key, [])
        except (ClientError, BotoCoreError) as error:
            raise translate(error, self.service, action, self.region) from error


def body(answer: Mapping[str, Any]) -> bytes:
    """The whole body of a GetObject answer.

    Raises:
        CloudBusy: the connection broke on the way.
    """
    try:
        return bytes(answer["Body"].read())
    except (BotoCoreError, HTTPError, OSError) as error:
        raise CloudBusy(f"s3:get_object broke off: {error}", code=type(error).__name__, action="get_object") from error


def translate(error: ClientError | BotoCoreError, service: str, action: str, region: str) -> CloudError:
    """Turn botocore's exception into ours."""
    what = f"{service}:{action} in {region}"
    if isinstance(error, BotoCoreError):  # no answer at all: connection, time-out, a broken response
        return CloudSilent(f"{what} got no answer: {error}", code=type(error).__name__, action=action, region=region)
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{what} answered {code}: {details.get('Message', '')}"
    kind = CloudBusy if code in RETRYABLE_CODES or status in (429, 500, 502, 503, 504) else CloudRefused
    return kind(text, code=code, action=action, region=region)


@lru_cache(maxsize=256)
def client(service: str, region: str, settings: Config | None = None) -> Client:
    """A client for ``service`` in ``region``, made once per process: making one costs tens of milliseconds.

    Args:
        settings: what :func:`config` made, and the same object each time; None for its defaults.
    """
    return Client(service, region, _session().client(service, region_name=region, config=settings or config()))


@lru_cache(maxsize=1)
def _session() -> Any:
    return boto3.session.Session()
