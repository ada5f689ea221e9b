"""EventBridge Scheduler: what it takes, when it is due, and what it may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from broadside.local import scheduler
from broadside.local.access.delegation import Delegation
from broadside.local.behaviour import Behaviour
from broadside.local.scheduler.service import Reach
from broadside.local.world import ACCOUNT_ID, Clock, World
from tests.local.lab import HOME, client, refused

MACHINE = f"arn:aws:states:{HOME}:{ACCOUNT_ID}:stateMachine:rollout"
FUNCTION = f"arn:aws:lambda:{HOME}:{ACCOUNT_ID}:function:gate"
LETTERS = f"arn:aws:sqs:{HOME}:{ACCOUNT_ID}:letters"
OFF = {"Mode": "OFF"}
NAME = "release"


class Desk:
    """A scheduler whose clock goes when it is told to, and who notes what it reaches."""

    def __init__(self, state: Path, **behaviour: Any) -> None:
        self.seconds = datetime(2026, 11, 26, 13, 0, tzinfo=UTC).timestamp()
        self.errands: list[tuple[float, Any]] = []
        self.reached: list[tuple[str, Any]] = []
        self.broken: Exception | None = None
        world = World(state, Behaviour(**behaviour), Clock(wall=lambda: self.seconds))
        self.reach = Reach(
            delegation=Delegation(ACCOUNT_ID, lambda: True),
            later=lambda seconds, errand: self.errands.append((self.seconds + seconds, errand)),
            invoke=self._note,
            start_execution=self._note,
            send_message=lambda arn, text: self.reached.append((arn, text)),
        )
        self.scheduler = scheduler.install(world, self.reach)
        self.api = client("scheduler", HOME, ACCOUNT_ID)

    def _note(self, arn: str, text: str) -> None:
        if self.broken:
            raise self.broken
        self.reached.append((arn, text))

    def wait(self, seconds: float) -> None:
        """Let time pass, and what is due be done."""
        end = self.seconds + seconds
        while due := sorted((entry for entry in self.errands if entry[0] <= end), key=lambda entry: entry[0]):
            self.errands.remove(due[0])
            self.seconds = max(self.seconds, due[0][0])
            due[0][1]()
        self.seconds = end

    def role(self, *, service: str = "scheduler.amazonaws.com", allow: tuple[str, ...] = ("*",), **condition: Any) -> str:
        """A role with these actions."""
        iam, name = boto3.client("iam"), f"role-{len(boto3.client('iam').list_roles()['Roles'])}"
        trusted = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole", **condition}
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trusted]}))["Role"]
        if allow:
            statement = {"Effect": "Allow", "Action": list(allow), "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document)
        arn: str = made["Arn"]
        return arn

    def create(self, expression: str = "at(2026-11-26T14:00:00)", name: str = NAME, **other: Any) -> Any:
        target = {"Arn": MACHINE, "RoleArn": other.pop("role", None) or self.role(), "Input": '{"build": "b1"}'}
        asked = {"FlexibleTimeWindow": OFF, "Target": target | other.pop("target", {})} | other
        return self.api.create_schedule(Name=name, ScheduleExpression=expression, **asked)

    def names(self) -> list[str]:
        return [one["Name"] for one in self.api.list_schedules()["Schedules"]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with mock_aws():
        yield Desk(tmp_path)


def test_it_is_due_within_the_minute_after_its_time(desk: Desk) -> None:
    """Never before; and once."""
    desk.create()
    desk.wait(3599)
    assert desk.reached == []
    desk.wait(60)
    assert desk.reached == [(MACHINE, '{"build": "b1"}')]
    desk.wait(86400)
    assert len(desk.reached) == 1
    assert desk.names() == [NAME]


@pytest.mark.usefixtures("desk")
def test_the_second_is_the_seeds(tmp_path: Path) -> None:
    """The same seed is due at the same second, another one at another."""

    def second(seed: int) -> float:
        other = Desk(tmp_path / f"{seed}", seed=seed)
        other.create(name="one")
        return other.errands[0][0] - other.seconds - 3600

    seconds = [second(seed) for seed in range(8)]
    assert seconds == [second(seed) for seed in range(8)]
    assert len(set(seconds)) > 1
    assert all(0 <= it < 60 for it in seconds)


def test_it_is_due_in_its_time_zone(desk: Desk) -> None:
    """Two in the afternoon in New York is seven in the evening in UTC."""
    desk.create(ScheduleExpressionTimezone="America/New_York")
    desk.wait(5 * 3600)
    assert desk.reached == []
    desk.wait(3660)
    assert len(desk.reached) == 1


def test_it_removes_itself_when_it_shall(desk: Desk) -> None:
    """ActionAfterCompletion DELETE."""
    desk.create(ActionAfterCompletion="DELETE")
    assert desk.api.get_schedule(Name=NAME)["ActionAfterCompletion"] == "DELETE"
    desk.wait(3660)
    assert desk.names() == []
    with refused("ResourceNotFoundException", status=404):
        desk.api.get_schedule(Name=NAME)


def test_a_schedule_that_is_deleted_or_disabled_is_never_due(desk: Desk) -> None:
    """Nor is one whose time is past."""
    desk.create()
    desk.api.delete_schedule(Name=NAME)
    desk.create(name="off", State="DISABLED")
    desk.create("at(2026-11-26T12:00:00)", name="late")
    desk.wait(86400)
    assert desk.reached == []
    with refused("ResourceNotFoundException", status=404):
        desk.api.delete_schedule(Name=NAME)


def test_an_update_moves_it(desk: Desk) -> None:
    """It is due at the new time only, and what is not said again is the default again."""
    desk.create(Description="first", ActionAfterCompletion="DELETE")
    target = {"Arn": FUNCTION, "RoleArn": desk.role()}
    desk.api.update_schedule(Name=NAME, ScheduleExpression="at(2026-11-26T15:00:00)", FlexibleTimeWindow=OFF, Target=target)
    desk.wait(3660)
    assert desk.reached == []
    desk.wait(3660)
    (arn, text), told = desk.reached[0], desk.api.get_schedule(Name=NAME)
    assert (arn, json.loads(text)["source"], json.loads(text)["detail-type"]) == (FUNCTION, "aws.scheduler", "Scheduled Event")
    assert "Description" not in told
    assert told["ActionAfterCompletion"] == "NONE"
    with refused("ResourceNotFoundException", status=404):
        desk.api.update_schedule(Name="none", ScheduleExpression="rate(1 day)", FlexibleTimeWindow=OFF, Target=target)


def test_a_rate_begins_at_once_and_ends_at_its_end(desk: Desk) -> None:
    """Every quarter of an hour; with DELETE it is gone afterwards."""
    end = datetime.fromtimestamp(desk.seconds, UTC) + timedelta(minutes=40)
    desk.create("rate(15 minutes)", EndDate=end, ActionAfterCompletion="DELETE")
    desk.wait(60)
    assert len(desk.reached) == 1
    desk.wait(86400)
    assert len(desk.reached) == 3
    assert desk.names() == []


def test_a_cron_schedule_comes_again(desk: Desk) -> None:
    """From its start date on."""
    start = datetime.fromtimestamp(desk.seconds, UTC) + timedelta(days=1)
    desk.create("cron(0 14 * * ? *)", StartDate=start)
    desk.wait(86400)
    assert desk.reached == []
    desk.wait(2 * 86400)
    assert len(desk.reached) == 2


def test_a_name_is_used_once_in_its_group(desk: Desk) -> None:
    """ConflictException; the same request with the same token is the same schedule."""
    role = desk.role()
    first = desk.create(role=role, ClientToken="token")
    assert desk.create(role=role, ClientToken="token")["ScheduleArn"] == first["ScheduleArn"]
    with refused("ConflictException", status=409):
        desk.create(role=role)
    with refused("ConflictException", status=409):
        desk.create("at(2026-11-27T14:00:00)", role=role, ClientToken="token")


def test_schedules_are_grouped(desk: Desk) -> None:
    """A group must be there, and takes its schedules along."""
    with refused("ResourceNotFoundException", status=404):
        desk.create(GroupName="rollouts")
    arn = desk.api.create_schedule_group(Name="rollouts")["ScheduleGroupArn"]
    assert arn == f"arn:aws:scheduler:{HOME}:{ACCOUNT_ID}:schedule-group/rollouts"
    made = desk.create(GroupName="rollouts")["ScheduleArn"]
    assert made == f"arn:aws:scheduler:{HOME}:{ACCOUNT_ID}:schedule/rollouts/{NAME}"
    desk.create()
    assert desk.api.get_schedule(Name=NAME, GroupName="rollouts")["Arn"] == made
    with refused("ConflictException", status=409):
        desk.api.create_schedule_group(Name="rollouts")
    desk.api.delete_schedule_group(Name="rollouts")
    with refused("ValidationException", status=400):
        desk.api.delete_schedule_group(Name="default")
    desk.wait(3660)
    assert len(desk.reached) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"expression": "at(26-11-2026)"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"name": "a name"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
        {"target": {"Input": "{"}},
        {"target": {"RoleArn": "role"}},
        {"target": {"Arn": "rollout"}},
        {"target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"}},
        {"target": {"SqsParameters": {"MessageGroupId": "g"}}},
        {"target": {"DeadLetterConfig": {"Arn": f"{LETTERS}.fifo"}}},
        {"KmsKeyArn": f"arn:aws:kms:{HOME}:{ACCOUNT_ID}:key/k"},
    ],
)
def test_what_cannot_be_is_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    """So is whatever would have to be ignored."""
    with refused("ValidationException", status=400):
        desk.create(**wrong)
    assert desk.names() == []


def test_the_role_must_trust_scheduler(desk: Desk) -> None:
    """Another service's role is refused at once; a condition may name the schedule's group, and no other."""
    with refused("ValidationException"):
        desk.create(role=desk.role(service="events.amazonaws.com"))
    group = f"arn:aws:scheduler:{HOME}:{ACCOUNT_ID}:schedule-group/"
    with refused("ValidationException"):
        desk.create(role=desk.role(Condition={"StringEquals": {"aws:SourceArn": f"{group}other"}}))
    desk.create(role=desk.role(Condition={"StringEquals": {"aws:SourceArn": f"{group}default"}}))


def test_what_the_role_may_not_do_is_a_dead_letter(desk: Desk) -> None:
    """If the role may at least send that."""
    letters = {"DeadLetterConfig": {"Arn": LETTERS}}
    desk.create(name="forbidden", role=desk.role(allow=("sqs:SendMessage",)), target=letters)
    desk.create(name="lost", role=desk.role(allow=()), target=letters)
    desk.create(name="allowed", role=desk.role(allow=("states:StartExecution",)), target=letters)
    desk.wait(3660)
    assert sorted(arn for arn, _ in desk.reached) == [LETTERS, MACHINE]


def test_what_is_not_there_is_a_dead_letter(desk: Desk) -> None:
    """Such as a state machine that was deleted."""
    desk.broken = KeyError("rollout")
    desk.create(target={"DeadLetterConfig": {"Arn": LETTERS}})
    desk.wait(3660)
    assert desk.reached == [(LETTERS, '{"build": "b1"}')]


def test_the_input_may_name_the_schedule_and_its_time(desk: Desk) -> None:
    """Context attributes."""
    told = {"arn": "<aws.scheduler.schedule-arn>", "time": "<aws.scheduler.scheduled-time>"}
    made = desk.create(target={"Input": json.dumps(told)})["ScheduleArn"]
    desk.wait(3660)
    assert json.loads(desk.reached[0][1]) == {"arn": made, "time": "2026-11-26T14:00:00Z"}


def test_it_may_come_twice(tmp_path: Path) -> None:
    """Scheduler promises at least once, as often as the behaviour says of events."""
    with mock_aws():
        desk = Desk(tmp_path, events={"duplicate": 2})
        desk.create()
        desk.wait(3660)
        assert len(desk.reached) == 2
