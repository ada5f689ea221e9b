"""One worker process: the function's environment and nothing else, its handler, and one invocation after the other."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from broadside.local.functions import wire

Handler = Callable[[Any, Any], Any]


class Context:
    """What Lambda hands to a handler beside the event."""

    def __init__(self, environment: dict[str, str], arn: str, request: dict[str, Any]) -> None:
        self.function_name = environment["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environment["AWS_LAMBDA_FUNCTION_VERSION"]
        self.invoked_function_arn = arn
        self.memory_limit_in_mb = environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = request["id"]
        self.log_group_name = environment["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environment["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = None
        self._deadline = time.monotonic() + request["timeout"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def run(channel: socket.socket, spec: dict[str, Any]) -> NoReturn:
    """Serve invocations until the server closes the channel.  Never returns."""
    code = 1
    try:
        _become(spec)
        wire.send(channel, {"pid": os.getpid()})
        _serve(channel, spec)
        code = 0
    except wire.Gone:
        code = 0
    except BaseException:  # noqa: BLE001, RUF100 - the last frame of this process
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _become(spec: dict[str, Any]) -> None:
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(spec["environment"])
    time.tzset()


def _serve(channel: socket.socket, spec: dict[str, Any]) -> None:
    handler: Handler | None = None
    while True:
        request = wire.receive(channel)
        _forget_peak()
        try:
            if handler is None:  # inside the invocation, so that a broken import is this invocation's error, as in Lambda
                handler = _resolve(spec["handler"])
            context = Context(spec["environment"], spec["arn"], request)
            answer = {"error": False, "payload": _encode(handler(json.loads(request["payload"]), context))}
        except Exception as error:  # noqa: BLE001, RUF100 - whatever a handler raises is its answer
            traceback.print_exc()
            answer = {"error": True, "payload": json.dumps(describe(error))}
        sys.stdout.flush()
        sys.stderr.flush()
        wire.send(channel, {**answer, "peak": _peak()})


def _resolve(handler: str) -> Handler:
    module, _, attribute = handler.rpartition(".")
    found: Handler = getattr(importlib.import_module(module), attribute)
    return found


def _encode(result: Any) -> str:
    try:
        return json.dumps(result)
    except TypeError as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error


class MarshalError(Exception):
    """The handler's result is not JSON."""


def describe(error: Exception) -> dict[str, Any]:
    """An exception as Lambda's Python runtime reports it; ``errorType`` is the class name, which state machines match."""
    kind = "Runtime.MarshalError" if isinstance(error, MarshalError) else type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        kind = "Runtime.ImportModuleError"
    frames = [line for line in traceback.format_tb(error.__traceback__) if __file__ not in line]
    return {"errorMessage": str(error), "errorType": kind, "requestId": "", "stackTrace": frames}


def _forget_peak() -> None:
    """Begin to measure the peak of resident memory anew (proc(5), clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The peak of resident memory since the invocation began, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
