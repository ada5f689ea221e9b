"""EventBridge's event patterns, which Lambda's filter criteria share.

Source: "Amazon EventBridge event patterns" and "Comparison operators for use in event patterns" in its user guide.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

_ORDER = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

_MISSING = object()


class BadPattern(Exception):
    """The pattern uses a comparison that is not known here."""


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Whether ``event`` has every field of ``pattern`` with one of the values given for it.

    Raises:
        BadPattern: the pattern cannot be understood.
    """
    for key, wanted in pattern.items():
        if key == "$or":
            if not any(matches(alternative, event) for alternative in wanted):
                return False
            continue
        value = event.get(key, _MISSING) if isinstance(event, Mapping) else _MISSING
        if isinstance(wanted, Mapping):
            if not matches(wanted, {} if value is _MISSING else value):
                return False
        elif isinstance(wanted, list):
            if not _any_of(wanted, value):
                return False
        else:
            raise BadPattern(f"The pattern's field {key} is neither a list nor a mapping.")
    return True


def _any_of(wanted: list[Any], value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(_one(rule, item) for rule in wanted for item in values)


def _one(rule: Any, value: Any) -> bool:
    if not isinstance(rule, Mapping):
        return value is not _MISSING and type(value) is type(rule) and bool(value == rule)
    ((comparison, argument),) = rule.items()
    if comparison == "exists":
        return (value is not _MISSING) is bool(argument)
    if value is _MISSING:
        return False
    if comparison == "anything-but":
        return not _any_of(argument if isinstance(argument, list) else [argument], value)
    if comparison == "numeric":
        return _numeric(argument, value)
    return isinstance(value, str) and _textual(comparison, argument, value)


def _textual(comparison: str, argument: Any, value: str) -> bool:
    if isinstance(argument, Mapping):  # {"prefix": {"equals-ignore-case": "a"}}
        argument, value = argument["equals-ignore-case"].lower(), value.lower()
    if isinstance(argument, list):  # within anything-but: {"anything-but": {"prefix": ["a", "b"]}}
        return any(_textual(comparison, item, value) for item in argument)
    match comparison:
        case "prefix":
            return value.startswith(argument)
        case "suffix":
            return value.endswith(argument)
        case "equals-ignore-case":
            return value.lower() == str(argument).lower()
        case "wildcard":
            return fnmatchcase(value, argument.replace("[", "[[]").replace("?", "[?]"))
    raise BadPattern(f"The pattern's comparison {comparison!r} is not known.")


def _numeric(argument: list[Any], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    pairs = zip(argument[::2], argument[1::2], strict=True)
    return all(_ORDER[sign](value, limit) for sign, limit in pairs)
