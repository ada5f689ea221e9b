"""What AWS's services may do in our name is what roles and policies say: a forgotten permission is found here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from broadside.local.cloud import LocalCloud

ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:broadside-Echo"
SOURCE = "tests.delegation"


def allow(actions: str | list[str], resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def make_role(bench: LocalCloud, service: str, *statements: dict[str, Any]) -> str:
    """A role that ``service`` may assume and that may do what the statements say."""
    iam, name = bench.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if statements:
        iam.put_role_policy(
            RoleName=name,
            PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
        )
    return arn


def make_machine(bench: LocalCloud, state: dict[str, Any], role: str) -> str:
    definition = json.dumps({"StartAt": "Only", "States": {"Only": {**state, "End": True}}})
    name = f"machine-{uuid.uuid4().hex[:8]}"
    made: str = bench.client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=role)[
        "stateMachineArn"
    ]
    return made


def outcome(bench: LocalCloud, machine: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """How an execution of the machine ends."""
    states = bench.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine, input=json.dumps(given or {}))["executionArn"]

    def look() -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    found: dict[str, Any] = bench.wait_until(look, what="the execution's end")
    return found


TASK = {"Type": "Task", "Resource": FUNCTION}
OPTIMIZED = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": FUNCTION}}


@pytest.mark.parametrize("task", [TASK, OPTIMIZED])
def test_a_machine_calls_only_functions_that_its_role_names(bench: LocalCloud, task: dict[str, Any]) -> None:
    """Without the permission the task fails as on AWS, under the name that a Retry or Catch would see."""
    forbidden = outcome(bench, make_machine(bench, task, make_role(bench, "states.amazonaws.com")))
    assert (forbidden["status"], forbidden["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert f"is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION}" in forbidden["cause"]
    allowed = make_role(bench, "states.amazonaws.com", allow("lambda:InvokeFunction", FUNCTION))
    assert outcome(bench, make_machine(bench, task, allowed))["status"] == "SUCCEEDED"


def test_a_machine_whose_function_is_gone_says_so(bench: LocalCloud) -> None:
    """The error of the Invoke API has Step Functions' name."""
    role = make_role(bench, "states.amazonaws.com", allow("lambda:InvokeFunction", "*"))
    end = outcome(bench, make_machine(bench, {"Type": "Task", "Resource": f"{FUNCTION}Gone"}, role))
    assert end["error"] == "Lambda.ResourceNotFoundException"


@pytest.mark.parametrize("missing", [None, "states:StartExecution", "states:DescribeExecution", "states:StopExecution"])
def test_a_distributed_map_starts_children_only_with_permission(bench: LocalCloud, missing: str | None) -> None:
    """Each child is an execution of the machine itself, which its role must be allowed to start, look at and stop."""
    actions = {"states:StartExecution", "states:DescribeExecution", "states:StopExecution"} - {missing}
    role = make_role(bench, "states.amazonaws.com", allow(sorted(actions), "*"))
    mapping = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Well",
            "States": {"Well": {"Type": "Succeed"}},
        },
    }
    end = outcome(bench, make_machine(bench, mapping, role), {"items": [1, 2]})
    assert end.get("error") == (missing and "States.Permissions")
    assert missing is None or missing in end["cause"]


def test_a_machine_needs_a_role_that_step_functions_can_assume(bench: LocalCloud) -> None:
    """Otherwise it cannot even be made."""
    with pytest.raises(ClientError, match="AccessDeniedException"):
        make_machine(bench, TASK, make_role(bench, "lambda.amazonaws.com"))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage"}, "sqs:sendMessage"),
        ({"Type": "Parallel", "Branches": [{"StartAt": "A", "States": {"A": {**TASK, "Credentials": {}, "End": True}}}]}, "A"),
    ],
)
def test_a_task_that_would_go_unchecked_is_refused(bench: LocalCloud, state: dict[str, Any], said: str) -> None:
    """Rather than being done with everybody's permissions."""
    with pytest.raises(ClientError, match=f"InvalidDefinition.*{said}"):
        make_machine(bench, state, make_role(bench, "states.amazonaws.com"))


def test_a_function_needs_a_role_that_lambda_can_assume(bench: LocalCloud) -> None:
    """As at CreateFunction."""
    function = {"FunctionName": "stray", "Handler": "app.echo", "Runtime": "python3.11", "Code": {"ZipFile": b""}}
    with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
        bench.client("lambda").create_function(**function, Role=make_role(bench, "states.amazonaws.com"))


class Rule:
    """A rule for events of one detail type, and two queues: one for its events, one for those that it cannot deliver."""

    def __init__(self, bench: LocalCloud) -> None:
        self.events, self.sqs = bench.client("events"), bench.client("sqs")
        self.name = f"rule-{uuid.uuid4().hex[:8]}"
        pattern = {"source": [SOURCE], "detail-type": [self.name]}
        self.arn: str = self.events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))["RuleArn"]
        self.queue, self.letters = self._queue("events"), self._queue("letters")
        self.open("letters")

    def _queue(self, kind: str) -> str:
        self.sqs.create_queue(QueueName=f"{self.name}-{kind}")
        return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.name}-{kind}"

    def open(self, kind: str, **condition: str) -> None:
        """Let this rule (or what the condition says instead) send into the queue."""
        equals = {"ArnEquals": condition or {"aws:SourceArn": self.arn}}
        statement = allow("sqs:SendMessage", "*", Principal={"Service": "events.amazonaws.com"}, Condition=equals)
        url = self.sqs.get_queue_url(QueueName=f"{self.name}-{kind}")["QueueUrl"]
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [statement]})})

    def aim(self, arn: str, **more: Any) -> None:
        target = {"Id": "only", "Arn": arn, "DeadLetterConfig": {"Arn": self.letters}, **more}
        self.events.put_targets(Rule=self.name, Targets=[target])

    def send(self) -> None:
        self.events.put_events(Entries=[{"Source": SOURCE, "DetailType": self.name, "Detail": "{}"}])

    def arrived(self, kind: str) -> list[Any]:
        url = self.sqs.get_queue_url(QueueName=f"{self.name}-{kind}")["QueueUrl"]
        return list(self.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, MaxNumberOfMessages=10).get("Messages", []))


@pytest.fixture
def rule(bench: LocalCloud) -> Iterator[Rule]:
    made = Rule(bench)
    yield made
    made.events.remove_targets(Rule=made.name, Ids=["only"])
    made.events.delete_rule(Name=made.name)


def test_a_rule_reaches_a_queue_only_by_the_queues_policy(bench: LocalCloud, rule: Rule) -> None:
    """Another rule's permission is none; what could not be delivered is in the dead-letter queue."""
    rule.aim(rule.queue)
    rule.open("events", **{"aws:SourceArn": f"{rule.arn}-of-another"})
    rule.send()
    bench.wait_until(lambda: rule.arrived("letters"), what="the dead letter")
    assert rule.arrived("events") == []
    rule.open("events")
    rule.send()
    bench.wait_until(lambda: rule.arrived("events"), what="the event")


def test_a_rule_reaches_a_function_only_by_the_functions_policy(bench: LocalCloud, rule: Rule) -> None:
    """The template's AWS::Lambda::Permission must name the rule."""
    functions = bench.client("lambda")
    rule.aim(FUNCTION)
    rule.send()
    bench.wait_until(lambda: rule.arrived("letters"), what="the dead letter")
    before = log_length(bench, "broadside-Echo")
    functions.add_permission(
        FunctionName="broadside-Echo",
        StatementId=rule.name,
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule.arn,
    )
    rule.send()
    bench.wait_until(lambda: log_length(bench, "broadside-Echo") > before, what="the invocation")


def log_length(bench: LocalCloud, function: str) -> int:
    log = bench.state / "logs" / f"{function}.log"
    return log.stat().st_size if log.exists() else 0


def test_a_rule_starts_a_machine_only_with_its_targets_role(bench: LocalCloud, rule: Rule) -> None:
    """The role must trust EventBridge and allow the start."""
    machine = make_machine(bench, {"Type": "Pass"}, make_role(bench, "states.amazonaws.com"))
    states = bench.client("stepfunctions")
    useless = [make_role(bench, "events.amazonaws.com"), make_role(bench, "lambda.amazonaws.com", allow("*", "*"))]
    for count, role in enumerate(useless):
        rule.aim(machine, RoleArn=role)
        rule.send()
        bench.wait_until(lambda: len(rule.arrived("letters")) > count, what="the dead letter")  # noqa: B023 - waited for here
    assert states.list_executions(stateMachineArn=machine)["executions"] == []
    rule.aim(machine, RoleArn=make_role(bench, "events.amazonaws.com", allow("states:StartExecution", machine)))
    rule.send()
    bench.wait_until(lambda: states.list_executions(stateMachineArn=machine)["executions"], what="the execution")


@pytest.mark.parametrize(
    ("target", "said"),
    [({"Arn": f"arn:aws:sns:us-east-1:{ACCOUNT}:t"}, "sns"), ({"Arn": FUNCTION, "InputPath": "$.detail"}, "InputPath")],
)
def test_a_target_that_would_be_treated_otherwise_is_refused(rule: Rule, target: dict[str, str], said: str) -> None:
    """Nothing that a target asks for is silently ignored."""
    with pytest.raises(ClientError, match=said):
        rule.events.put_targets(Rule=rule.name, Targets=[{"Id": "only", **target}])


def test_a_destination_needs_the_functions_own_permission(bench: LocalCloud) -> None:
    """Lambda refuses a destination into which the function's role could not send."""
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:closed"
    bench.client("sqs").create_queue(QueueName="closed")
    with pytest.raises(ClientError, match="sqs:SendMessage"):
        bench.client("lambda").put_function_event_invoke_config(
            FunctionName="broadside-Nap", DestinationConfig={"OnFailure": {"Destination": arn}}
        )


def test_a_stream_needs_the_functions_own_permission(bench: LocalCloud) -> None:
    """Lambda reads a stream with the function's role, and refuses a mapping that it could not follow."""
    stream = bench.client("dynamodb").describe_table(TableName="broadside-Table")["Table"]["LatestStreamArn"]
    function = {"FunctionName": "blind", "Handler": "app.echo", "Runtime": "python3.11", "Code": {"ZipFile": b"x"}}
    bench.client("lambda").create_function(**function, Role=make_role(bench, "lambda.amazonaws.com"))
    with pytest.raises(ClientError, match="dynamodb:GetRecords"):
        bench.client("lambda").create_event_source_mapping(
            FunctionName="blind", EventSourceArn=stream, StartingPosition="TRIM_HORIZON"
        )


def test_without_enforcement_everything_is_allowed(bench: LocalCloud) -> None:
    """For whoever wants to try something before its permissions."""
    bench.set_behaviour(enforce_iam=False)
    end = outcome(bench, make_machine(bench, TASK, make_role(bench, "lambda.amazonaws.com")))
    assert end["status"] == "SUCCEEDED"
