"""The door that every request comes through: it is named, judged, perhaps spoiled, passed on, and written down."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from broadside.local import answers
from broadside.local.behaviour import Behaviour, Fault, FaultKind
from broadside.local.calls import Call, Environ, identify
from broadside.local.functions.pool import Function, Pool
from broadside.local.journal import Entry, Journal
from broadside.local.trouble import Trouble

Application = Callable[[Environ, Any], Iterable[bytes]]
#: Answers the request, or None when it is for somebody else.
Shortcut = Callable[[Environ, Call], answers.Answer | None]
#: Why the caller (a function, or None for one from outside) must not make this call; None when it may.
Guard = Callable[[Function | None, Call, Environ], str | None]

#: What a call has to wait for before it is answered.
Turn = Callable[[Call, Environ], AbstractContextManager[Any]]

#: Under this path the embedded cloud itself is asked and told things.
CONTROL = "/_broadside"

#: The caller of whoever is not one of our functions.
USER = "user"

#: Bytes of a body that is a large one, and how many of these are taken in at once: each is in memory several times over
#: while moto takes it apart.
LARGE, LARGE_AT_ONCE = 1 << 20, 2

#: Services that are the same from everywhere.
_GLOBAL = frozenset({"iam", "sts"})


class Dropped(Exception):
    """The connection was closed without an answer."""


class Front:
    """The WSGI application around all others."""

    def __init__(
        self,
        *,
        behaviour: Callable[[], Behaviour],
        now: Callable[[], float],
        pool: Pool,
        journal: Journal,
        control: Application,
        guard: Guard,
        shortcuts: list[Shortcut],
        turn: Turn,
        application: Application,
    ) -> None:
        self._behaviour = behaviour
        self._now = now
        self._pool = pool
        self._journal = journal
        self._control = control
        self._guard = guard
        self._shortcuts = shortcuts
        self._turn = turn
        self._application = application
        self._trouble = Trouble(behaviour(), now)
        self._room = threading.BoundedSemaphore(LARGE_AT_ONCE)

    def behave(self) -> None:
        """Begin anew with the behaviour that now holds: full buckets, no fault counted."""
        self._trouble = Trouble(self._behaviour(), self._now)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(CONTROL):
            return self._control(environ, start_response)
        call = identify(environ, self._behaviour().home)
        worker = self._pool.worker_of(call.key)
        function = worker.function if worker else None
        status, trouble = [0], [""]
        number = self._journal.number()
        begun = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

        def started(line: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            status[0] = int(line.split(maxsplit=1)[0])
            return start_response(line, headers, *rest)

        try:
            return self._judge(environ, started, call, function, trouble)
        finally:
            what = (call.service, call.action, call.region, call.mutating)
            self._journal.add(Entry(number, begun, _name(function), *what, status[0], trouble[0]))

    def _judge(
        self, environ: Environ, start: Any, call: Call, function: Function | None, trouble: list[str]
    ) -> Iterable[bytes]:
        region = self._behaviour().region(call.region)
        if (region is None or not region.enabled) and call.service not in _GLOBAL:
            trouble[0] = "region"
            return _send(start, _closed_region(call))
        reason = self._guard(function, call, environ)
        if reason is not None:
            trouble[0] = "iam"
            code = "UnauthorizedOperation" if call.service == "ec2" else _access_denied(call.service)
            return _send(start, answers.refusal(call.service, code, reason, 403))
        if seconds := self._trouble.latency(call):
            time.sleep(seconds)
        if throttle := self._trouble.throttled(call):
            trouble[0] = "throttled"
            return _send(start, answers.refusal(call.service, throttle[0], "Rate exceeded", throttle[1]))
        fault = self._trouble.fault(call, _name(function))
        if fault is None:
            return self._pass_on(environ, start, call)
        trouble[0] = fault.kind.value
        return self._spoil(environ, start, call, fault)

    def _pass_on(self, environ: Environ, start: Any, call: Call) -> Iterable[bytes]:
        for shortcut in self._shortcuts:
            answer = shortcut(environ, call)
            if answer is not None:
                return _send(start, answer)
        large = call.service == "s3" and int(environ.get("CONTENT_LENGTH") or 0) > LARGE
        with self._room if large else nullcontext(), self._turn(call, environ):
            content = self._application(environ, start)
            if large:
                gc.collect()  # moto's requests lie in circles, each with its body, until the collector comes round
            return content

    def _spoil(self, environ: Environ, start: Any, call: Call, fault: Fault) -> Iterable[bytes]:
        if fault.kind.applies:
            response = self._pass_on(environ, lambda *_arguments: None, call)
            for _ in response:
                pass
            if hasattr(response, "close"):
                response.close()
        if fault.kind in (FaultKind.FAIL, FaultKind.APPLY_THEN_FAIL):
            return _send(start, answers.refusal(call.service, fault.code, fault.message, fault.status))
        if fault.kind in (FaultKind.KILL, FaultKind.APPLY_THEN_KILL):
            worker = self._pool.worker_of(call.key)
            if worker is not None:
                worker.kill("fault")
        if fault.kind is FaultKind.TIMEOUT:
            time.sleep(fault.seconds)
        _hang_up(environ)
        raise Dropped(str(call))


def _name(function: Function | None) -> str:
    return function.name if function else USER


def _closed_region(call: Call) -> answers.Answer:
    """What AWS says in a Region that the account has not opted into, where no credentials of it are known."""
    if call.service == "ec2":
        message = "AWS was not able to validate the provided access credentials"
        return answers.refusal("ec2", "AuthFailure", message, 401)
    if call.service == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        return answers.refusal("s3", "InvalidAccessKeyId", message, 403)
    message = "The security token included in the request is invalid."
    return answers.refusal(call.service, "UnrecognizedClientException", message, 400)


def _access_denied(service: str) -> str:
    return "AccessDenied" if service in ("s3", "sts", "iam", "sns", "cloudformation") else "AccessDeniedException"


def _send(start: Any, answer: answers.Answer) -> list[bytes]:
    status, headers, content = answer
    start(status, headers)
    return [content]


def _hang_up(environ: Environ) -> None:
    connection: socket.socket | None = environ.get("broadside.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
