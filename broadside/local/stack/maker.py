"""What the makers of resources are given, and how they say which type they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broadside.local.stack.template import BadTemplate

#: Ref, and the attributes for Fn::GetAtt.
Made = tuple[str, dict[str, str]]


class Properties:
    """The resolved properties of one resource.  A maker takes each that it honours; what is left over is an error."""

    def __init__(self, logical_id: str, kind: str, values: dict[str, Any]) -> None:
        self.logical_id = logical_id
        self._kind = kind
        self._left = dict(values)

    def take(self, name: str, default: Any = None) -> Any:
        """A property, or ``default`` when the template does not set it."""
        return self._left.pop(name, default)

    def need(self, name: str) -> Any:
        if name not in self._left:
            raise BadTemplate(f"{self.logical_id} ({self._kind}) lacks the property {name}.")
        return self._left.pop(name)

    def some(self, *names: str) -> dict[str, Any]:
        """Those of the properties that are set, under their own names, for an API that calls them the same."""
        return {name: self._left.pop(name) for name in names if name in self._left}

    def without_effect(self, *names: str) -> None:
        """Properties that change nothing on a laptop."""
        for name in names:
            self._left.pop(name, None)

    def rest_without_effect(self) -> None:
        """For a resource that is only a name."""
        self._left.clear()

    def finish(self) -> None:
        """Complain about what nobody took.

        Raises:
            BadTemplate: a property would have been ignored.
        """
        if self._left:
            raise BadTemplate(
                f"{self.logical_id} ({self._kind}) has properties that the embedded cloud does not honour: "
                f"{', '.join(sorted(self._left))}."
            )


@dataclass(frozen=True)
class Workshop:
    """What makers work with: ``client(service)`` is a boto3 client in the stack's Region."""

    stack: str
    region: str
    account: str
    client: Callable[[str], Any]

    def name(self, logical_id: str) -> str:
        """The physical name where the template gives none; without CloudFormation's random end, since a run starts empty."""
        return f"{self.stack}-{logical_id}"

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


Maker = Callable[[Workshop, Properties], Made]

MAKERS: dict[str, Maker] = {}


def makes(kind: str) -> Callable[[Maker], Maker]:
    """Register the maker of one resource type."""

    def register(maker: Maker) -> Maker:
        MAKERS[kind] = maker
        return maker

    return register
