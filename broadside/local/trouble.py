"""Which call is throttled, slowed or hit by a fault: the decisions, without I/O.

A decision depends on the order of calls and the behaviour's seed alone, so that a run can be repeated.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from fnmatch import fnmatchcase

from broadside.local.behaviour import Behaviour, Fault, Throttle
from broadside.local.calls import Call

#: What each service calls it when there are too many requests; the others say ThrottlingException.
_THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "lambda": ("TooManyRequestsException", 429),
    "cloudformation": ("Throttling", 400),
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
    "ebs": ("RequestThrottledException", 400),
}


class Trouble:
    """The throttles and faults of one behaviour, with their counters.  Safe for threads."""

    def __init__(self, behaviour: Behaviour, now: Callable[[], float]) -> None:
        self._behaviour = behaviour
        self._now = now
        self._lock = threading.Lock()
        self._random = random.Random(behaviour.seed)  # noqa: S311 - chooses faults, keeps no secret
        self._tokens: dict[tuple[int, str], tuple[float, float]] = {}
        self._seen = [0] * len(behaviour.faults)
        self._hits = [0] * len(behaviour.faults)

    def latency(self, call: Call) -> float:
        """Real seconds to be added to the call."""
        for pattern, seconds in self._behaviour.latency.items():
            if fnmatchcase(str(call), pattern):
                return seconds
        return 0.0

    def throttled(self, call: Call) -> tuple[str, int] | None:
        """The error code and HTTP status when a bucket is empty; otherwise a token of each matching bucket is taken."""
        with self._lock:
            wanted = [(index, throttle) for index, throttle in enumerate(self._behaviour.throttles) if _limits(throttle, call)]
            levels = {(index, call.region): self._level(index, throttle, call.region) for index, throttle in wanted}
            empty = any(level < 1 for level in levels.values())
            now = self._now()
            self._tokens |= {key: (level if empty else level - 1, now) for key, level in levels.items()}
        return _THROTTLED.get(call.service, ("ThrottlingException", 400)) if empty else None

    def _level(self, index: int, throttle: Throttle, region: str) -> float:
        level, since = self._tokens.get((index, region), (throttle.bucket, self._now()))
        return min(throttle.bucket, level + (self._now() - since) * throttle.refill)

    def fault(self, call: Call, caller: str) -> Fault | None:
        """The first fault that hits this call; every fault that matches counts it."""
        chosen = None
        with self._lock:
            for index, fault in enumerate(self._behaviour.faults):
                if _concerns(fault, call, caller) and self._hit(index, fault) and chosen is None:
                    chosen = fault
                    self._hits[index] += 1
        return chosen

    def _hit(self, index: int, fault: Fault) -> bool:
        self._seen[index] += 1
        if fault.limit is not None and self._hits[index] >= fault.limit:
            return False
        if fault.nth is not None:
            return self._seen[index] >= fault.nth
        return fault.probability is None or self._random.random() < fault.probability


def _limits(throttle: Throttle, call: Call) -> bool:
    return (
        fnmatchcase(call.service, throttle.service)
        and fnmatchcase(call.action, throttle.action)
        and fnmatchcase(call.region, throttle.region)
    )


def _concerns(fault: Fault, call: Call, caller: str) -> bool:
    return (
        fnmatchcase(call.service, fault.service)
        and fnmatchcase(call.action, fault.action)
        and fnmatchcase(call.region, fault.region)
        and fnmatchcase(caller, fault.caller)
        and fault.mutating in (None, call.mutating)
    )
