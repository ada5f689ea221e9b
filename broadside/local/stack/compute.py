"""Makers of roles, functions, event rules and state machines."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from broadside.local.stack.maker import Made, Properties, Workshop, makes


@makes("AWS::IAM::Role")
def role(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("RoleName", shop.name(properties.logical_id))
    iam = shop.client("iam")
    trust = json.dumps(properties.need("AssumeRolePolicyDocument"))
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for policy in properties.take("Policies", []):
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
    # AWS's own managed policies only let functions write logs and traces, which here are files.
    properties.without_effect("ManagedPolicyArns", "Tags", "Description", "MaxSessionDuration", "Path")
    return name, {"Arn": arn, "RoleId": name}


@makes("AWS::IAM::Policy")
def policy(shop: Workshop, properties: Properties) -> Made:
    name = properties.need("PolicyName")
    document = json.dumps(properties.need("PolicyDocument"))
    for holder in properties.need("Roles"):
        shop.client("iam").put_role_policy(RoleName=holder, PolicyName=name, PolicyDocument=document)
    return name, {}


@makes("AWS::Lambda::Function")
def function(shop: Workshop, properties: Properties) -> Made:
    """The code is not unpacked: workers run the checkout that the template was built from."""
    name = properties.take("FunctionName", shop.name(properties.logical_id))
    client = shop.client("lambda")
    arguments = properties.some("Description", "Environment", "Handler", "MemorySize", "Role", "Runtime", "Timeout")
    if storage := properties.take("EphemeralStorage"):
        arguments["EphemeralStorage"] = storage
    arn = client.create_function(FunctionName=name, Code={"ZipFile": _EMPTY_ZIP}, **arguments)["FunctionArn"]
    reserved = properties.take("ReservedConcurrentExecutions")
    if reserved is not None:
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(reserved))
    # Layers: gpg is this machine's.  Architectures: so is the processor.
    properties.without_effect("Architectures", "Code", "Layers", "LoggingConfig", "Tags", "TracingConfig")
    return name, {"Arn": arn}


def _empty_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("README", "The embedded cloud runs the checkout.")
    return buffer.getvalue()


_EMPTY_ZIP = _empty_zip()


@makes("AWS::Lambda::LayerVersion")
def layer(shop: Workshop, properties: Properties) -> Made:
    """Only an ARN: functions run with this machine's gpg."""
    name = properties.take("LayerName", properties.logical_id)
    properties.without_effect("CompatibleArchitectures", "CompatibleRuntimes", "Content", "Description", "LicenseInfo")
    arn = shop.arn("lambda", f"layer:{name}:1")
    return arn, {"LayerVersionArn": arn}


@makes("AWS::Lambda::Permission")
def permission(shop: Workshop, properties: Properties) -> Made:
    statement = properties.logical_id
    shop.client("lambda").add_permission(
        StatementId=statement, **properties.some("Action", "FunctionName", "Principal", "SourceArn", "SourceAccount")
    )
    return statement, {}


@makes("AWS::Lambda::EventInvokeConfig")
def event_invoke_config(shop: Workshop, properties: Properties) -> Made:
    arguments = properties.some("DestinationConfig", "FunctionName", "MaximumEventAgeInSeconds", "MaximumRetryAttempts")
    properties.without_effect("Qualifier")  # there is only $LATEST
    shop.client("lambda").put_function_event_invoke_config(**arguments)
    return properties.logical_id, {}


@makes("AWS::Lambda::EventSourceMapping")
def event_source_mapping(shop: Workshop, properties: Properties) -> Made:
    made = shop.client("lambda").create_event_source_mapping(
        **properties.some(
            "BatchSize",
            "BisectBatchOnFunctionError",
            "DestinationConfig",
            "Enabled",
            "EventSourceArn",
            "FilterCriteria",
            "FunctionName",
            "FunctionResponseTypes",
            "MaximumBatchingWindowInSeconds",
            "MaximumRecordAgeInSeconds",
            "MaximumRetryAttempts",
            "ParallelizationFactor",
            "StartingPosition",
            "TumblingWindowInSeconds",
        )
    )
    properties.without_effect("Tags")
    return made["UUID"], {"Id": made["UUID"]}


@makes("AWS::Events::Rule")
def rule(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("Name", shop.name(properties.logical_id))
    events = shop.client("events")
    arguments = properties.some("Description", "ScheduleExpression", "State")
    if pattern := properties.take("EventPattern"):
        arguments["EventPattern"] = json.dumps(pattern)
    arn = events.put_rule(Name=name, **arguments)["RuleArn"]
    targets: list[dict[str, Any]] = properties.take("Targets", [])
    if targets:
        events.put_targets(Rule=name, Targets=targets)
    return name, {"Arn": arn}


@makes("AWS::StepFunctions::StateMachine")
def state_machine(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("StateMachineName", shop.name(properties.logical_id))
    definition = properties.take("DefinitionString") or json.dumps(properties.need("Definition"))
    for key, value in properties.take("DefinitionSubstitutions", {}).items():
        definition = definition.replace("${" + key + "}", str(value))
    made = shop.client("stepfunctions").create_state_machine(
        name=name,
        definition=definition,
        roleArn=properties.need("RoleArn"),
        type=properties.take("StateMachineType", "STANDARD"),
    )
    properties.without_effect("LoggingConfiguration", "Tags", "TracingConfiguration")
    return made["stateMachineArn"], {"Arn": made["stateMachineArn"], "Name": name}


@makes("AWS::Scheduler::ScheduleGroup")
def schedule_group(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("Name", shop.name(properties.logical_id))
    arn = shop.client("scheduler").create_schedule_group(Name=name)["ScheduleGroupArn"]
    properties.without_effect("Tags")
    return name, {"Arn": arn}


@makes("AWS::Scheduler::Schedule")
def schedule(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("Name", shop.name(properties.logical_id))
    arguments = properties.some(
        "Description", "FlexibleTimeWindow", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "State", "Target"
    )
    arn = shop.client("scheduler").create_schedule(Name=name, **arguments)["ScheduleArn"]
    return name, {"Arn": arn}
