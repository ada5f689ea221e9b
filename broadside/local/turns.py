"""Which calls wait for one another."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from broadside.local.calls import Call, Environ

#: Services whose calls are answered one after the other: moto looks and then writes, which two threads must not interleave.
ONE_BY_ONE = ("dynamodb", "events", "iam", "secretsmanager", "ssm", "states")

#: moto holds a request's body several times over: of bodies from this size (bytes) on, only a few are taken in at once.
LARGE, AT_ONCE = 1 << 20, 3


class Turns:
    """Gives each call what it has to hold while it is answered."""

    def __init__(self) -> None:
        self._services = {name: threading.RLock() for name in ONE_BY_ONE}
        self._large = threading.BoundedSemaphore(AT_ONCE)

    def __call__(self, call: Call, environ: Environ) -> AbstractContextManager[Any]:
        if call.service in self._services:
            return self._services[call.service]
        if int(environ.get("CONTENT_LENGTH") or 0) >= LARGE:
            return self._large
        return nullcontext()

    def of(self, service: str) -> AbstractContextManager[Any]:
        """The turn of one of the services, for what reaches it from inside."""
        return self._services[service]
