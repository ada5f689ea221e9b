"""Errors in the form that each service's clients read."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

_QUERY = frozenset({"cloudformation", "iam", "sns", "sts", "autoscaling"})

Answer = tuple[str, list[tuple[str, str]], bytes]


def refusal(service: str, code: str, message: str, status: int) -> Answer:
    """An error answer as ``service`` would give it: WSGI status line, headers, body."""
    request = str(uuid.uuid4())
    code_text, message_text = escape(code), escape(message)
    if service == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{code_text}</Code><Message>{message_text}</Message></Error></Errors>"
            f"<RequestID>{request}</RequestID></Response>"
        )
    elif service == "s3":
        text = f"<Error><Code>{code_text}</Code><Message>{message_text}</Message><RequestId>{request}</RequestId></Error>"
    elif service in _QUERY:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code_text}</Code><Message>{message_text}</Message></Error>"
            f"<RequestId>{request}</RequestId></ErrorResponse>"
        )
    else:
        text = json.dumps({"__type": code, "message": message, "Message": message})
    xml = text.startswith("<")
    headers = [
        ("Content-Type", "application/xml" if xml else "application/x-amz-json-1.1"),
        ("x-amzn-ErrorType", code),
        ("x-amzn-RequestId", request),
    ]
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n' if xml else ""
    return answer(status, (declaration + text).encode(), headers)


def document(value: Any, status: int = 200) -> Answer:
    """A JSON answer of our own."""
    return answer(status, json.dumps(value).encode(), [("Content-Type", "application/json")])


def answer(status: int, content: bytes, headers: list[tuple[str, str]]) -> Answer:
    line = f"{status} {HTTPStatus(status).phrase}"
    kept = [(key, value) for key, value in headers if key.lower() != "content-length"]
    return line, [*kept, ("Content-Length", str(len(content)))], content
