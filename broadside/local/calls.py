"""What a request asks for: service, action, Region and whose access key, from the request alone."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import NotFound

Environ = dict[str, Any]

_CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_BLOCK = re.compile(r"/snapshots/[^/]+/blocks/\d+$")

#: Names that signatures use, where they are not the service's own.
_SIGNING_NAMES = {"eventbridge": "events", "monitoring": "cloudwatch"}

#: An action that begins like this changes nothing by itself.
_READING = ("BatchGet", "Decrypt", "Describe", "Get", "Head", "Invoke", "List", "Lookup", "Query", "Scan", "TransactGet")


@dataclass(frozen=True)
class Call:
    """One API call; ``key`` is the caller's access key id, empty for an unsigned request."""

    service: str
    action: str
    region: str
    key: str

    @property
    def mutating(self) -> bool:
        """Whether the call may change something."""
        return not self.action.startswith(_READING)

    def __str__(self) -> str:
        return f"{self.service}:{self.action}"


def identify(environ: Environ, home: str) -> Call:
    """Say what ``environ`` calls.  An unsigned one is S3's in the ``home`` Region; an unknown action is the method."""
    match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", "")) or _CREDENTIAL.search(_presigned(environ))
    if match is None:
        return Call("s3", _routed("s3", environ), home, "")
    service = _SIGNING_NAMES.get(match["service"], match["service"])
    return Call(service, _action(service, environ), match["region"], match["key"])


def _presigned(environ: Environ) -> str:
    query = str(environ.get("QUERY_STRING", ""))
    if "X-Amz-Credential" not in query:
        return ""
    return "Credential=" + parse_qs(query)["X-Amz-Credential"][0]


def _action(service: str, environ: Environ) -> str:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:  # JSON: DynamoDB_20120810.PutItem
        return str(target).rpartition(".")[2]
    path = environ["PATH_INFO"]
    if "/operation/" in path:  # RPC v2: /service/GraniteServiceVersion20100801/operation/PutMetricData
        return str(path).rpartition("/")[2]
    if service == "ebs" and _BLOCK.match(path):  # by the thousand, so not through the router
        return "PutSnapshotBlock" if environ["REQUEST_METHOD"] == "PUT" else "GetSnapshotBlock"
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return parse_qs(body(environ).decode()).get("Action", [""])[0]
    return _routed(service, environ)


def _routed(service: str, environ: Environ) -> str:
    request = Request({**environ, "wsgi.input": io.BytesIO()})
    try:
        operation, _ = get_service_router(service).match(request)
    except (NotFound, LookupError):
        return str(environ["REQUEST_METHOD"])
    return str(operation.name)


def body(environ: Environ) -> bytes:
    """Read the whole body, and leave it to be read again."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    content: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(content)
    return content
