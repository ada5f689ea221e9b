"""Deploying: the SAM template becomes CloudFormation, and each resource is made in its turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadside.local.stack import compute, storage
from broadside.local.stack.maker import MAKERS, Properties, Workshop
from broadside.local.stack.template import BadTemplate, Resource, Scope, Template, in_order, wanted

#: The modules whose import registers their makers.
MAKING = (compute, storage)


@dataclass(frozen=True)
class Stack:
    """One deployed stack, as CloudFormation describes it."""

    name: str
    arn: str
    created: datetime
    parameters: Mapping[str, str]
    outputs: Mapping[str, tuple[str, str]]
    resources: Mapping[str, Resource]

    def output(self, key: str) -> str:
        return self.outputs[key][0]


def transform(template: Template) -> dict[str, Any]:
    """Turn a SAM template into plain CloudFormation, offline.  CodeUri may be a folder: no code is looked at."""
    from samtranslator.translator.transform import transform as translate  # noqa: PLC0415 - 0.6 s, and only for this

    resources = {name: _with_code(dict(definition)) for name, definition in template["Resources"].items()}
    plain: dict[str, Any] = translate({**template, "Resources": resources}, {}, _NoManagedPolicies())
    return plain


class _NoManagedPolicies:
    """Where SAM looks up AWS's managed policies by name; ours are all written out."""

    def load(self) -> dict[str, str]:
        return {}


def _with_code(definition: dict[str, Any]) -> dict[str, Any]:
    """SAM wants code in S3; where it lies does not matter, since workers run the checkout."""
    place = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}.get(definition["Type"])
    if place:
        definition["Properties"] = {**definition["Properties"], place: "s3://checkout/code"}
    return definition


def deploy(
    template: Template, *, name: str, region: str, account: str, parameters: Mapping[str, str], client: Callable[[str], Any]
) -> Stack:
    """Make everything that ``template`` names.

    Raises:
        BadTemplate: it asks for something that the embedded cloud would have to ignore.
    """
    arn = f"arn:aws:cloudformation:{region}:{account}:stack/{name}/00000000-0000-0000-0000-000000000000"
    scope = Scope(template, parameters, _pseudo(name, arn, region, account))
    shop = Workshop(name, region, account, client)
    resources = wanted(template, scope)
    for logical_id in in_order(resources):
        scope.resources[logical_id] = _make(shop, scope, logical_id, resources[logical_id])
    outputs = {
        key: (str(scope.resolve(output["Value"])), str(output.get("Description", "")))
        for key, output in template.get("Outputs", {}).items()
        if "Condition" not in output or scope.condition(output["Condition"])
    }
    given = {key: scope.ref(key) for key in template.get("Parameters", {})}
    return Stack(name, arn, datetime.now(UTC), given, outputs, scope.resources)


def _make(shop: Workshop, scope: Scope, logical_id: str, definition: Mapping[str, Any]) -> Resource:
    kind = definition["Type"]
    if kind not in MAKERS:
        raise BadTemplate(f"The embedded cloud cannot make {logical_id}: it does not know the type {kind}.")
    properties = Properties(logical_id, kind, scope.resolve(definition.get("Properties", {})))
    try:
        ref, attributes = MAKERS[kind](shop, properties)
    except BadTemplate:
        raise
    except Exception as error:
        raise BadTemplate(f"{logical_id} ({kind}) could not be made: {error}") from error
    properties.finish()
    return Resource(logical_id, kind, ref, attributes)


def _pseudo(name: str, arn: str, region: str, account: str) -> dict[str, str]:
    return {
        "AWS::AccountId": account,
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackId": arn,
        "AWS::StackName": name,
        "AWS::URLSuffix": "amazonaws.com",
    }
