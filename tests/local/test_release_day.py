"""What a release needs of the cloud, through its front door: on time, checked, seen from outside, and with permissions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config

from broadside.local.behaviour import load
from broadside.local.cloud import LocalCloud
from tests.local.lab import STRANGER, refused, root
from tests.local.test_delegation import ACCOUNT, FUNCTION, allow, make_machine, make_role

ARN = f"arn:aws:{{}}:us-east-1:{ACCOUNT}:{{}}"
ROLE = "broadside-CallerRole"


def register(bench: LocalCloud, **other: Any) -> str:
    """An available image."""
    ebs, ec2 = bench.client("ebs"), bench.client("ec2")
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)

    def completed() -> bool:
        found = ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [snapshot_id]}])["Snapshots"]
        return bool(found) and found[0]["State"] == "completed"

    bench.wait_until(completed, what="the snapshot")
    name = f"image-{uuid.uuid4().hex[:8]}"
    image_id: str = ec2.register_image(
        Name=name, RootDeviceName="/dev/sda1", BlockDeviceMappings=[root(snapshot_id)], **other
    )["ImageId"]
    available = [{"Name": "image-id", "Values": [image_id]}, {"Name": "state", "Values": ["available"]}]
    bench.wait_until(lambda: ec2.describe_images(Filters=available)["Images"], what="the image")
    return image_id


def started(bench: LocalCloud, machine: str) -> list[datetime]:
    """When the machine's executions began."""
    found = bench.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return [one["startDate"] for one in found]


def test_a_schedule_starts_a_machine_at_its_time(bench: LocalCloud) -> None:
    """Within one of the cloud's minutes after it, and then it is gone."""
    machine = make_machine(bench, {"Type": "Pass"}, make_role(bench, "states.amazonaws.com"))
    role = make_role(bench, "scheduler.amazonaws.com", allow("states:StartExecution", machine))
    moment = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    scheduler = bench.client("scheduler")
    scheduler.create_schedule(
        Name="on-time",
        ScheduleExpression=f"at({moment:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={"Arn": machine, "RoleArn": role, "Input": '{"release": "r"}'},
    )
    (begun,) = bench.wait_until(lambda: started(bench, machine), what="the execution")
    assert timedelta(0) <= begun - moment < timedelta(seconds=2)
    bench.wait_until(lambda: scheduler.list_schedules(NamePrefix="on-time")["Schedules"] == [], what="the schedule's end")


def test_a_schedule_of_the_template_is_due_when_told(bench: LocalCloud) -> None:
    """Nobody waits until 2099: by its group and its name."""
    machine = bench.ready["outputs"]["Machine"]
    before = len(started(bench, machine))
    told = bench.client("scheduler").get_schedule(GroupName="releases", Name="someday")
    assert told["ScheduleExpression"] == "at(2099-01-01T00:00:00)"
    bench.fire_schedule("releases/someday")
    bench.wait_until(lambda: len(started(bench, machine)) > before, what="the execution")


def test_a_parameter_is_there_once_its_image_was_looked_at(bench: LocalCloud) -> None:
    """An event tells it, too, in the Region where it happened."""
    bench.set_behaviour(parameter_seconds=100)
    events, sqs, ssm = bench.client("events"), bench.client("sqs"), bench.client("ssm")
    pattern = {"source": ["aws.ssm"], "detail-type": ["Parameter Store Change"], "detail": {"name": ["/os/current"]}}
    rule = events.put_rule(Name="parameters", EventPattern=json.dumps(pattern))["RuleArn"]
    url = sqs.create_queue(QueueName="parameters")["QueueUrl"]
    statement = allow("sqs:SendMessage", "*", Principal={"Service": "events.amazonaws.com"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [statement]})})
    events.put_targets(Rule="parameters", Targets=[{"Id": "only", "Arn": ARN.format("sqs", "parameters")}])
    image_id = register(bench)
    ssm.put_parameter(Name="/os/current", Value=image_id, Type="String", DataType="aws:ec2:image")
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name="/os/current")
    told = bench.wait_until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), what="the event")
    assert json.loads(told[0]["Body"])["detail"]["operation"] == "Create"
    assert ssm.get_parameter(Name="/os/current")["Parameter"]["Value"] == image_id
    assert rule.endswith("rule/parameters")


def test_parameters_are_put_three_a_second(bench: LocalCloud) -> None:
    """In each Region; what is too much is throttled."""
    documented = [one for one in load("aws").throttles if one.action == "PutParameter"]
    assert [(one.bucket, one.refill) for one in documented] == [(3, 3)]
    bench.set_behaviour(throttles=[{"service": "ssm", "action": "PutParameter", "bucket": 3, "refill": 0}])
    for region in ("us-east-1", "eu-central-1"):
        ssm = bench.session().client("ssm", region_name=region, config=Config(retries={"total_max_attempts": 1}))
        for number in range(3):
            ssm.put_parameter(Name=f"/quick/{number}", Value="x", Type="String", Overwrite=True)
        with refused("ThrottlingException"):
            ssm.put_parameter(Name="/quick/4", Value="x", Type="String", Overwrite=True)


def test_an_outsider_sees_what_is_public(bench: LocalCloud) -> None:
    """With credentials of another account, which AssumeRole gives."""
    image_id, mine = register(bench), bench.client("ec2")
    arn = f"arn:aws:iam::{STRANGER}:role/outsider"
    given = bench.client("sts").assume_role(RoleArn=arn, RoleSessionName="outside")["Credentials"]
    keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    outside = bench.session().client("ec2", aws_session_token=given["SessionToken"], **keys)
    with refused("InvalidAMIID.NotFound"):
        outside.describe_images(ImageIds=[image_id])
    assert mine.describe_images(ExecutableUsers=["all"])["Images"] == []
    mine.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"Group": "all"}]})
    (seen,) = outside.describe_images(ImageIds=[image_id])["Images"]
    assert (seen["Public"], seen["OwnerId"]) == (True, ACCOUNT)
    assert [it["ImageId"] for it in mine.describe_images(ExecutableUsers=["all"])["Images"]] == [image_id]
    assert [it["ImageId"] for it in outside.describe_images(ExecutableUsers=["all"], Owners=[ACCOUNT])["Images"]] == [image_id]
    mine.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": [{"Group": "all"}]})
    with refused("InvalidAMIID.NotFound"):
        outside.describe_images(ImageIds=[image_id])


class Caller:
    """A function that makes one call, with what its role may do."""

    def __init__(self, bench: LocalCloud) -> None:
        self._bench = bench

    def may(self, *statements: dict[str, Any]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self._bench.client("iam").put_role_policy(RoleName=ROLE, PolicyName="tested", PolicyDocument=document)

    def call(self, service: str, operation: str, **arguments: Any) -> str:
        """The error's code, or nothing."""
        event = {"service": service, "operation": operation, "arguments": arguments}
        answer = self._bench.client("lambda").invoke(FunctionName="broadside-Caller", Payload=json.dumps(event))
        code: str = json.load(answer["Payload"])["code"]
        return code


@pytest.fixture
def caller(bench: LocalCloud) -> Iterator[Caller]:
    made = Caller(bench)
    made.may(allow("sts:GetCallerIdentity", "*"))
    yield made
    bench.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="tested")


TARGET = {"Arn": FUNCTION, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/broadside-SchedulerRole"}
SCHEDULE = {"Name": "n", "GroupName": "releases", "ScheduleExpression": "at(2099-01-01T00:00:00)", "Target": TARGET}
QUOTA = {"ServiceCode": "ec2", "QuotaCode": "L-0E3CBAB9"}
IMAGE = "ami-0123456789abcdef0"

#: A call: service, operation, arguments, the actions and resources that it needs, and the error it ends with when it may.
Needing = tuple[str, str, dict[str, Any], list[tuple[str, str]], str]

CALLS: list[Needing] = [
    (
        "sts",
        "assume_role",
        {"RoleArn": f"arn:aws:iam::{STRANGER}:role/outsider", "RoleSessionName": "outside"},
        [("sts:AssumeRole", f"arn:aws:iam::{STRANGER}:role/outsider")],
        "",
    ),
    (
        "ssm",
        "put_parameter",
        {"Name": "/a/b", "Value": "v", "Type": "String", "Tags": [{"Key": "k", "Value": "v"}]},
        [
            ("ssm:PutParameter", ARN.format("ssm", "parameter/a/b")),
            ("ssm:AddTagsToResource", ARN.format("ssm", "parameter/a/*")),
        ],
        "",
    ),
    (
        "ssm",
        "get_parameter",
        {"Name": "/a/c"},
        [("ssm:GetParameter", ARN.format("ssm", "parameter/a/*"))],
        "ParameterNotFound",
    ),
    (
        "scheduler",
        "create_schedule",
        SCHEDULE | {"FlexibleTimeWindow": {"Mode": "OFF"}},
        [("scheduler:CreateSchedule", ARN.format("scheduler", "schedule/releases/*")), ("iam:PassRole", TARGET["RoleArn"])],
        "",
    ),
    (
        "scheduler",
        "delete_schedule",
        {"Name": "none", "GroupName": "releases"},
        [("scheduler:DeleteSchedule", ARN.format("scheduler", "schedule/releases/*"))],
        "ResourceNotFoundException",
    ),
    (
        "stepfunctions",
        "send_task_success",
        {"taskToken": "t", "output": "{}"},
        [("states:SendTaskSuccess", "*")],
        "InvalidToken",
    ),
    ("service-quotas", "get_service_quota", QUOTA, [("servicequotas:GetServiceQuota", "*")], ""),
    (
        "service-quotas",
        "request_service_quota_increase",
        QUOTA | {"DesiredValue": 9999.0},
        [("servicequotas:RequestServiceQuotaIncrease", ARN.format("servicequotas", "ec2/L-0E3CBAB9"))],
        "",
    ),
    ("cloudwatch", "describe_alarms", {}, [("cloudwatch:DescribeAlarms", ARN.format("cloudwatch", "alarm:*"))], ""),
    (
        "ec2",
        "create_image_usage_report",
        {"ImageId": IMAGE, "ResourceTypes": [{"ResourceType": "ec2:Instance"}]},
        [
            ("ec2:CreateImageUsageReport", "arn:aws:ec2:us-east-1::image/*"),
            ("ec2:CreateImageUsageReport", ARN.format("ec2", "image-usage-report/*")),
        ],
        "InvalidAMIID.NotFound",
    ),
    (
        "ec2",
        "describe_image_references",
        {"ImageIds": [IMAGE], "ResourceTypes": [{"ResourceType": "ec2:Instance"}]},
        [("ec2:DescribeImageReferences", "*"), ("ec2:DescribeInstances", "*")],
        "",
    ),
]


@pytest.mark.parametrize("one", CALLS, ids=[f"{it[0]}-{it[1]}" for it in CALLS])
def test_a_function_needs_every_permission_of_a_call(bench: LocalCloud, caller: Caller, one: Needing) -> None:
    """Each of them, on the very resource."""
    service, operation, arguments, needed, end = one
    denied = {"ec2": "UnauthorizedOperation", "sts": "AccessDenied"}.get(service, "AccessDeniedException")
    statements = [allow(action, resource) for action, resource in needed]
    for missing in statements:
        others = [one for one in statements if one is not missing]
        caller.may(allow("sts:GetCallerIdentity", "*"), *others)
        assert caller.call(service, operation, **arguments) == denied
    caller.may(*statements)
    assert caller.call(service, operation, **arguments) == end
    assert bench.calls(caller="broadside-Caller", trouble="iam")


def test_a_parameter_of_an_image_needs_the_permission_to_look_at_images(bench: LocalCloud, caller: Caller) -> None:
    """Without it PutParameter is answered well, and nothing comes of it."""
    bench.set_behaviour(parameter_seconds=0)
    image_id, ssm, name = register(bench), bench.client("ssm"), "/os/silent"
    asked = {"Name": name, "Value": image_id, "Type": "String", "DataType": "aws:ec2:image"}
    put = allow("ssm:PutParameter", ARN.format("ssm", "parameter/os/*"))
    caller.may(put)
    assert caller.call("ssm", "put_parameter", **asked) == ""
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=name)
    caller.may(put, allow("ec2:DescribeImages", "*"))
    assert caller.call("ssm", "put_parameter", **asked) == ""
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == image_id
