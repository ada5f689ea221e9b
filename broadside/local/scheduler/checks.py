"""What EventBridge Scheduler accepts.  No state, no I/O.

Source: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html, API_Target.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import ServiceException

from broadside.local.scheduler.expressions import BadExpression, Expression, parse

#: What a target needs to be allowed, by its service.
ACTIONS = {"lambda": "lambda:InvokeFunction", "sqs": "sqs:SendMessage", "states": "states:StartExecution"}

#: What a schedule keeps as it was given.
_SETTINGS = ("ActionAfterCompletion", "Description", "EndDate", "FlexibleTimeWindow", "StartDate", "State", "Target")
_DEFAULTS = {"ActionAfterCompletion": "NONE", "State": "ENABLED"}
_HONOURED = {"Arn", "DeadLetterConfig", "Input", "RetryPolicy", "RoleArn"}
_NAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_QUEUE = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[a-zA-Z0-9_-]+")


class SchedulerError(ServiceException):
    """A refusal: ``SchedulerError(code, message)``."""


def invalid(message: str) -> SchedulerError:
    return SchedulerError("ValidationException", message)


def unknown(what: str) -> SchedulerError:
    return SchedulerError("ResourceNotFoundException", f"{what} does not exist.")


def check_name(name: str) -> None:
    """Refuse a name of a schedule or a group that cannot be.

    Raises:
        SchedulerError: ValidationException.
    """
    if not _NAME.fullmatch(name):
        raise invalid(f"Invalid name {name}.")


def expression(text: str, timezone: str) -> Expression:
    """When it is due.

    Raises:
        SchedulerError: ValidationException.
    """
    try:
        return parse(text, timezone)
    except BadExpression as error:
        raise invalid(str(error)) from error


def settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a request sets, or the defaults.

    Raises:
        SchedulerError: ValidationException for what cannot be, and for what would have to be ignored.
    """
    if asked.get("KmsKeyArn"):
        raise invalid("The embedded cloud does not honour KmsKeyArn of a schedule.")
    found: dict[str, Any] = {name: asked.get(name) or _DEFAULTS.get(name) for name in _SETTINGS}
    _check_choice("State", found["State"], ("ENABLED", "DISABLED"))
    _check_choice("ActionAfterCompletion", found["ActionAfterCompletion"], ("NONE", "DELETE"))
    _check_window(found["FlexibleTimeWindow"] or {})
    _check_target(found["Target"] or {})
    return found


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise invalid(f"Value '{value}' at '{name}' failed to satisfy constraint: one of {', '.join(choices)}.")


def _check_window(window: Mapping[str, Any]) -> None:
    mode, minutes = window.get("Mode"), window.get("MaximumWindowInMinutes")
    _check_choice("FlexibleTimeWindow.Mode", str(mode), ("OFF", "FLEXIBLE"))
    if (mode == "FLEXIBLE") is (minutes is None):
        raise invalid("MaximumWindowInMinutes is for the mode FLEXIBLE, which needs it.")


def _check_target(target: Mapping[str, Any]) -> None:
    """Refuse a target that cannot be, or that would not be treated as it asks for."""
    arn, role = str(target.get("Arn") or ""), str(target.get("RoleArn") or "")
    service = (arn.split(":") + [""] * 3)[2]
    if not arn.startswith("arn:") or not _ROLE.fullmatch(role):
        raise invalid("Provided Arn is not in correct format.")
    if service not in ACTIONS:
        raise invalid(f"The embedded cloud does not let a schedule reach {arn}.")
    if strange := {key for key, value in target.items() if value is not None} - _HONOURED:
        raise invalid(f"The embedded cloud does not honour {', '.join(sorted(strange))} of a schedule's target.")
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue is not None and not _QUEUE.fullmatch(queue):
        raise invalid("Provided Arn is not in correct format.")
    if target.get("Input") is not None and service in ("lambda", "states"):
        try:
            json.loads(target["Input"])
        except ValueError as error:
            raise invalid("Invalid Input: it is not well-formed JSON.") from error
