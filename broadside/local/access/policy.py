"""IAM policies evaluated without I/O.

Source: "Policy evaluation logic" and "IAM JSON policy elements" in the IAM user guide.  A condition on a key that the request
has no value for and that :data:`UNKNOWN` names is taken as met, since the embedded cloud does not know better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

#: Condition keys that cannot be evaluated here: they would need the tags of each resource.
UNKNOWN = ("aws:ResourceTag/", "ec2:ResourceTag/")

#: Who calls without signing.
EVERYBODY = "*"


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NONE = "none"


@dataclass(frozen=True)
class Request:
    """One thing that a call needs: ``action`` on ``resource``.  ``context`` has condition keys, each with its values."""

    action: str
    resource: str
    principal: str = ""
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def evaluate(documents: Iterable[Mapping[str, Any]], request: Request) -> Decision:
    """What the policies say together: one Deny outweighs every Allow, and silence is no permission."""
    found = Decision.NONE
    for document in documents:
        for statement in _listed(document.get("Statement", [])):
            if not _applies(statement, request):
                continue
            if statement["Effect"] == "Deny":
                return Decision.DENY
            found = Decision.ALLOW
    return found


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    return (
        _for_principal(statement, request.principal)
        and _named(statement, "Action", request.action, fold=True)
        and _named(statement, "Resource", request.resource, fold=False)
        and _conditions_met(statement.get("Condition", {}), request.context)
    )


def _for_principal(statement: Mapping[str, Any], principal: str) -> bool:
    """An identity's policy names nobody; a resource's policy names whom it is for: roles, accounts, AWS's services."""
    if "Principal" not in statement:
        return True
    named = statement["Principal"]
    if named == "*":
        return True
    return any(item in ("*", principal) for kind in ("AWS", "Service") for item in _listed(named.get(kind, [])))


def _named(statement: Mapping[str, Any], element: str, value: str, *, fold: bool) -> bool:
    """Whether ``Action`` or ``Resource`` (or its ``Not``) covers the value; actions are matched without regard to case."""
    negated = f"Not{element}" in statement
    patterns = _listed(statement.get(f"Not{element}" if negated else element, []))
    covered = any(_like(value, pattern, fold=fold) for pattern in patterns)
    return covered is not negated


def _like(value: str, pattern: str, *, fold: bool = False) -> bool:
    if fold:
        value, pattern = value.lower(), pattern.lower()
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _conditions_met(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, tuple[str, ...]]) -> bool:
    return all(
        _condition_met(operator, key, [str(item) for item in _listed(wanted)], context)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _condition_met(operator: str, key: str, wanted: list[str], context: Mapping[str, tuple[str, ...]]) -> bool:
    if key.startswith(UNKNOWN) and key not in context:
        return True
    has = {name.lower(): values for name, values in context.items()}.get(key.lower())  # names of keys know no case
    if operator == "Null":
        return (has is None) is (wanted[0].lower() == "true")
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    test = _TESTS[name.removesuffix("IfExists")]
    if has is None:  # which is not what a negated operator names
        return optional or quantifier == "ForAllValues" or "Not" in name
    results = [test(value, wanted) for value in has]
    return all(results) if quantifier == "ForAllValues" else any(results)


_TESTS: dict[str, Callable[[str, list[str]], bool]] = {
    "ArnEquals": lambda value, wanted: any(_like(value, item) for item in wanted),
    "ArnLike": lambda value, wanted: any(_like(value, item) for item in wanted),
    "Bool": lambda value, wanted: value.lower() in [item.lower() for item in wanted],
    "StringEquals": lambda value, wanted: value in wanted,
    "StringLike": lambda value, wanted: any(_like(value, item) for item in wanted),
    "StringNotEquals": lambda value, wanted: value not in wanted,
    "StringNotLike": lambda value, wanted: not any(_like(value, item) for item in wanted),
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
