"""The template is deployed as it is, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from broadside.local.cloud import LocalCloud
from broadside.local.stack.deploy import deploy
from broadside.local.stack.maker import MAKERS
from broadside.local.stack.template import BadTemplate, Resource, Scope, in_order, wanted

PSEUDO = {"AWS::Region": "us-east-1", "AWS::StackName": "s"}


def scope(**template: Any) -> Scope:
    made = Scope({"Resources": {}, **template}, {}, PSEUDO)
    made.resources["Bucket"] = Resource("Bucket", "AWS::S3::Bucket", "my-bucket", {"Arn": "arn:aws:s3:::my-bucket"})
    return made


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "Bucket"}, "my-bucket"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Size"}, "3"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "arn:aws:s3:::my-bucket"),
        ({"Fn::GetAtt": "Bucket.Arn"}, "arn:aws:s3:::my-bucket"),
        ({"Fn::Sub": "${Bucket.Arn}/*-${AWS::StackName}-${!Literal}"}, "arn:aws:s3:::my-bucket/*-s-${Literal}"),
        ({"Fn::Sub": ["${A}-${Bucket}", {"A": {"Ref": "Size"}}]}, "3-my-bucket"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Size"}]]}, "a-3"),
        ({"Fn::Select": [1, {"Fn::Split": ["/", "a/b"]}]}, "b"),
        ({"Fn::If": ["Big", "yes", "no"]}, "no"),
        ({"keep": 1, "drop": {"Ref": "AWS::NoValue"}}, {"keep": 1}),
        ([{"Fn::If": ["Big", "yes", {"Ref": "AWS::NoValue"}]}, {"nested": [{"Ref": "Size"}]}], [{"nested": ["3"]}]),
    ],
)
def test_functions_are_resolved(value: Any, resolved: Any) -> None:
    """As CloudFormation does."""
    conditions = {"Big": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Size"}, "3"]}]}}
    assert scope(Parameters={"Size": {"Default": 3}}, Conditions=conditions).resolve(value) == resolved


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Ref": "Nothing"}, "Nothing"),
        ({"Fn::GetAtt": ["Nothing", "Arn"]}, "Nothing"),
        ({"Fn::GetAtt": ["Bucket", "Colour"]}, "Colour of Bucket"),
        ({"Fn::Transform": {}}, "Fn::Transform"),
        ({"Fn::If": ["Nothing", 1, 2]}, "Nothing"),
    ],
)
def test_what_cannot_be_resolved_is_told(value: Any, said: str) -> None:
    """Nothing becomes empty by itself."""
    with pytest.raises(BadTemplate, match=said):
        scope().resolve(value)


def test_a_parameter_needs_a_value() -> None:
    """And one that the template does not have is a mistake."""
    with pytest.raises(BadTemplate, match="Size has no value"):
        Scope({"Parameters": {"Size": {}}}, {}, {})
    with pytest.raises(BadTemplate, match="no parameter Colour"):
        Scope({}, {"Colour": "red"}, {})


def test_resources_come_after_what_they_need() -> None:
    """By Ref, GetAtt, Sub and DependsOn."""
    resources = {
        "D": {"DependsOn": "C"},
        "C": {"Properties": {"x": {"Fn::Sub": "${B.Arn}"}}},
        "B": {"Properties": {"x": [{"Fn::GetAtt": ["A", "Arn"]}, {"Ref": "AWS::Region"}]}},
        "A": {},
    }
    assert in_order(resources) == ["A", "B", "C", "D"]
    with pytest.raises(BadTemplate, match="in a circle"):
        in_order({"A": {"Properties": {"Ref": "B"}}, "B": {"Properties": {"Ref": "A"}}})


def test_a_condition_leaves_a_resource_out() -> None:
    """Only what is wanted is made."""
    template = {"Resources": {"A": {"Condition": "No"}, "B": {}}, "Conditions": {"No": {"Fn::Equals": [1, 2]}}}
    assert list(wanted(template, Scope(template, {}, {}))) == ["B"]


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"Type": "AWS::Quantum::Computer"}, "AWS::Quantum::Computer"),
        ({"Type": "AWS::S3::BucketPolicy", "Properties": {}}, "lacks the property"),
        ({"Type": "AWS::CloudWatch::Dashboard", "Properties": {"Colour": "red"}}, "does not honour: Colour"),
    ],
)
def test_what_cannot_be_made_stops_the_deployment(definition: dict[str, Any], said: str) -> None:
    """An unknown type or property is never skipped."""
    template = {"Resources": {"Thing": definition}}
    with pytest.raises(BadTemplate, match=said):
        deploy(template, name="s", region="us-east-1", account="1", parameters={}, client=lambda _service: None)


def test_the_stack_is_described(bench: LocalCloud) -> None:
    """Programs find the installation through its outputs."""
    client = bench.client("cloudformation")
    (stack,) = client.describe_stacks(StackName="broadside")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs == bench.ready["outputs"]
    assert outputs["PublicUrl"] == f"{bench.endpoint}/broadside-publicbucket"
    kinds = {
        item["LogicalResourceId"]: item["ResourceType"]
        for item in client.list_stack_resources(StackName="broadside")["StackResourceSummaries"]
    }
    assert kinds["Echo"] == "AWS::Lambda::Function"
    with pytest.raises(ClientError, match="does not exist"):
        client.describe_stacks(StackName="other")


def test_buckets_and_tables_are_as_the_template_says(bench: LocalCloud) -> None:
    """Versioned, closed, and with a stream."""
    s3 = bench.client("s3")
    assert s3.get_bucket_versioning(Bucket="broadside-bucket")["Status"] == "Enabled"
    block = s3.get_public_access_block(Bucket="broadside-bucket")["PublicAccessBlockConfiguration"]
    assert all(block.values())
    table = bench.client("dynamodb").describe_table(TableName="broadside-Table")["Table"]
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"


def test_the_projects_own_template_is_deployed_whole(cloud: LocalCloud) -> None:
    """What goes to AWS is what runs here: every resource is there, each of a type that is made on purpose."""
    listed = cloud.client("cloudformation").list_stack_resources(StackName="broadside")["StackResourceSummaries"]
    kinds = {item["ResourceType"] for item in listed}
    assert {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::StepFunctions::StateMachine", "AWS::Lambda::Function"} <= kinds
    assert kinds <= set(MAKERS)
    wanted_outputs = {
        "BuildsBucket",
        "PublicBucket",
        "WorkBucket",
        "IndexTable",
        "PublishStateMachine",
        "SigningSecret",
        "PublicUrl",
    }
    assert wanted_outputs <= set(cloud.ready["outputs"])
