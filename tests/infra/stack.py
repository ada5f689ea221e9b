"""Reading a synthesized template: who has which role, and what the role allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    """A SAM template, asked in the words of the tests."""

    template: Json

    def of_type(self, kind: str) -> dict[str, Json]:
        """Properties of the resources of a type, by logical id."""
        return {name: body.get("Properties", {}) for name, body in self.template["Resources"].items() if body["Type"] == kind}

    @property
    def functions(self) -> dict[str, Json]:
        return self.of_type("AWS::Serverless::Function")

    def role_of(self, function: str) -> str:
        """The logical id of a function's role."""
        return str(self.functions[function]["Role"]["Fn::GetAtt"][0])

    def statements(self, role: str) -> list[Json]:
        """All that a role allows."""
        policies = list(self.of_type("AWS::IAM::Role")[role].get("Policies", []))
        policies += [policy for policy in self.of_type("AWS::IAM::Policy").values() if {"Ref": role} in policy["Roles"]]
        return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]

    def actions(self, function: str) -> set[str]:
        """Every action that a function may call."""
        return {action for statement in self.statements(self.role_of(function)) for action in statement["Action"]}

    def all_statements(self) -> Iterator[tuple[str, Json]]:
        """Every statement of every role, with the role's logical id."""
        for role in self.of_type("AWS::IAM::Role"):
            for statement in self.statements(role):
                yield role, statement


def mentions(value: Any) -> set[str]:
    """The logical ids that a piece of template refers to."""
    if isinstance(value, list):
        return {name for item in value for name in mentions(item)}
    if not isinstance(value, dict):
        return set()
    found = {name for item in value.values() for name in mentions(item)}
    if "Ref" in value:
        found.add(value["Ref"])
    if "Fn::GetAtt" in value:
        found.add(value["Fn::GetAtt"][0])
    if isinstance(value.get("Fn::Sub"), str):
        found |= {part.partition("}")[0].partition(".")[0] for part in value["Fn::Sub"].split("${")[1:]}
    return found
