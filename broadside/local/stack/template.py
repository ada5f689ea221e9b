"""Templates without I/O: parameters, conditions, intrinsic functions and the order of resources."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

Template = Mapping[str, Any]

_SUBSTITUTED = re.compile(r"\$\{(!?)([^}]*)\}")


class BadTemplate(Exception):
    """The template asks for something that the embedded cloud does not have; the message says what and where."""


@dataclass(frozen=True)
class Resource:
    """A resource that was made: what ``Ref`` and ``Fn::GetAtt`` give for it."""

    logical_id: str
    type: str
    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class Scope:
    """What the functions of one template refer to: parameters, pseudo parameters, and the resources made so far."""

    def __init__(self, template: Template, parameters: Mapping[str, str], pseudo: Mapping[str, str]) -> None:
        self._values = dict(pseudo)
        for name, definition in template.get("Parameters", {}).items():
            if name not in parameters and "Default" not in definition:
                raise BadTemplate(f"The template's parameter {name} has no value.")
            self._values[name] = str(parameters.get(name, definition.get("Default")))
        unknown = set(parameters) - set(template.get("Parameters", {}))
        if unknown:
            raise BadTemplate(f"The template has no parameter {', '.join(sorted(unknown))}.")
        self.resources: dict[str, Resource] = {}
        self._conditions = template.get("Conditions", {})

    def condition(self, name: str) -> bool:
        if name not in self._conditions:
            raise BadTemplate(f"The template has no condition {name}.")
        return bool(self.resolve(self._conditions[name]))

    def ref(self, name: str) -> str:
        if name in self._values:
            return self._values[name]
        if name in self.resources:
            return self.resources[name].ref
        raise BadTemplate(f"Ref to {name}, which is neither a parameter nor a resource that exists.")

    def attribute(self, name: str, attribute: str) -> str:
        if name not in self.resources:
            raise BadTemplate(f"Fn::GetAtt of {name}, which is not a resource that exists.")
        resource = self.resources[name]
        if attribute not in resource.attributes:
            raise BadTemplate(f"Fn::GetAtt: the embedded cloud knows no attribute {attribute} of {name} ({resource.type}).")
        return resource.attributes[attribute]

    def resolve(self, value: Any) -> Any:
        """Replace every intrinsic function in ``value``; AWS::NoValue takes its key with it."""
        if isinstance(value, list):
            return [found for found in map(self.resolve, value) if found is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, argument),) = value.items()
            if key in FUNCTIONS:
                return FUNCTIONS[key](self, argument)
            if key.startswith("Fn::"):
                raise BadTemplate(f"The embedded cloud does not know the function {key}.")
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def substitute(self, text: str, values: Mapping[str, Any]) -> str:
        """``Fn::Sub``: ``${Name}``, ``${Name.Attribute}``, ``${AWS::Region}``, and ``${!Literal}``."""

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in values:
                return str(values[name])
            logical_id, dot, attribute = name.partition(".")
            return self.attribute(logical_id, attribute) if dot else self.ref(name)

        return _SUBSTITUTED.sub(replace, text)


NO_VALUE = object()


def _ref(scope: Scope, name: str) -> Any:
    return NO_VALUE if name == "AWS::NoValue" else scope.ref(name)


def _get_att(scope: Scope, argument: Any) -> str:
    name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
    return scope.attribute(name, attribute)


def _sub(scope: Scope, argument: Any) -> str:
    text, values = (argument, {}) if isinstance(argument, str) else argument
    return scope.substitute(text, scope.resolve(values))


def _if(scope: Scope, argument: Any) -> Any:
    name, yes, no = argument
    return scope.resolve(yes if scope.condition(name) else no)


def _join(scope: Scope, argument: Any) -> str:
    separator, parts = argument
    return str(separator).join(map(str, scope.resolve(parts)))


def _select(scope: Scope, argument: Any) -> Any:
    index, items = argument
    return scope.resolve(items)[int(scope.resolve(index))]


def _split(scope: Scope, argument: Any) -> list[str]:
    separator, text = argument
    return str(scope.resolve(text)).split(separator)


def _equals(scope: Scope, argument: Any) -> bool:
    left, right = scope.resolve(argument)
    return bool(left == right)


FUNCTIONS: dict[str, Callable[[Scope, Any], Any]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::If": _if,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Equals": _equals,
    "Fn::Not": lambda scope, argument: not scope.resolve(argument[0]),
    "Fn::And": lambda scope, argument: all(scope.resolve(argument)),
    "Fn::Or": lambda scope, argument: any(scope.resolve(argument)),
    "Condition": lambda scope, argument: scope.condition(argument),
}


def wanted(template: Template, scope: Scope) -> dict[str, Any]:
    """The resources whose condition holds, by logical id."""
    return {
        name: definition
        for name, definition in template["Resources"].items()
        if "Condition" not in definition or scope.condition(definition["Condition"])
    }


def in_order(resources: Mapping[str, Any]) -> list[str]:
    """Logical ids so that each comes after what it refers to.

    Raises:
        BadTemplate: resources refer to one another in a circle.
    """
    graph = {}
    for name, definition in resources.items():
        depends = definition.get("DependsOn", [])
        explicit = {depends} if isinstance(depends, str) else set(depends)
        graph[name] = (explicit | set(_names(definition.get("Properties", {})))) & set(resources) - {name}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise BadTemplate(f"The template's resources need one another in a circle: {' -> '.join(error.args[1])}.") from error


def _names(value: Any) -> Iterator[str]:
    """What a part of a template may refer to."""
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key == "Ref" and isinstance(item, str):
            yield item
        elif key == "Fn::GetAtt":
            yield item.split(".", 1)[0] if isinstance(item, str) else item[0]
        elif key == "Fn::Sub":
            text = item if isinstance(item, str) else item[0]
            yield from (name.partition(".")[0] for literal, name in _SUBSTITUTED.findall(text) if not literal)
            yield from _names(item)
        else:
            yield from _names(item)
