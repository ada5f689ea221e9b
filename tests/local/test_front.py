"""What happens to calls on their way in: Regions, throttles, faults, the journal."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from broadside.local.cloud import LocalCloud, LocalCloudFailed

ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=5)


def once(bench: LocalCloud, service: str, region: str = "us-east-1") -> Any:
    """A client that does not retry."""
    return bench.session().client(service, region_name=region, config=ONCE)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_every_call_is_written_down(bench: LocalCloud) -> None:
    """The journal says who called what where, whether it may change something, and how it was answered."""
    bench.client("s3").list_buckets()
    with pytest.raises(ClientError):
        once(bench, "dynamodb").get_item(TableName="none", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})
    bench.client("ec2", "eu-central-1").describe_regions()
    seen = [
        (call["caller"], call["service"], call["action"], call["region"], call["mutating"], call["status"])
        for call in bench.calls()
    ]
    assert seen == [
        ("user", "s3", "ListBuckets", "us-east-1", False, 200),
        ("user", "dynamodb", "GetItem", "us-east-1", False, 400),
        ("user", "ec2", "DescribeRegions", "eu-central-1", False, 200),
    ]
    assert bench.calls(service="ec2") == bench.calls(after=2)
    assert bench.calls(mutating=True) == []


def test_the_journal_is_also_a_file(bench: LocalCloud) -> None:
    """It can be read after the run."""
    bench.client("s3").list_buckets()
    assert '"action": "ListBuckets"' in (bench.state / "calls.jsonl").read_text()


@pytest.mark.parametrize(
    ("service", "action", "expected"),
    [
        ("ec2", "describe_images", "AuthFailure"),
        ("dynamodb", "list_tables", "UnrecognizedClientException"),
        ("ebs", "start_snapshot", "UnrecognizedClientException"),
    ],
)
@pytest.mark.parametrize("region", ["me-south-1", "eu-west-9"])
def test_a_region_that_is_not_opted_in_refuses(
    bench: LocalCloud, service: str, action: str, expected: str, region: str
) -> None:
    """AWS knows no credentials of the account there; a Region that does not exist is no better."""
    parameters = {"VolumeSize": 1} if action == "start_snapshot" else {}
    with pytest.raises(ClientError) as error:
        getattr(once(bench, service, region), action)(**parameters)
    assert code(error) == expected


@pytest.mark.parametrize(
    ("service", "action", "expected"),
    [
        ("ec2", "describe_images", "RequestLimitExceeded"),
        ("dynamodb", "list_tables", "ThrottlingException"),
        ("s3", "list_buckets", "SlowDown"),
    ],
)
def test_too_many_calls_are_throttled_as_each_service_says_it(
    bench: LocalCloud, service: str, action: str, expected: str
) -> None:
    """boto3 reads the error as its own service's."""
    bench.set_behaviour(throttles=[{"service": service, "bucket": 1, "refill": 0}])
    client = once(bench, service)
    getattr(client, action)()
    with pytest.raises(ClientError) as error:
        getattr(client, action)()
    assert code(error) == expected
    assert [call["trouble"] for call in bench.calls()] == ["", "throttled"]


def test_a_call_fails_before_or_after_it_took_effect(bench: LocalCloud) -> None:
    """The difference that idempotence is about."""
    s3 = once(bench, "s3")
    for kind, there in (("fail", False), ("apply-then-fail", True)):
        bench.set_behaviour(faults=[{"action": "PutObject", "kind": kind, "code": "InternalError", "status": 500}])
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="broadside-bucket", Key=kind, Body=b"x")
        assert code(error) == "InternalError"
        bench.set_behaviour()
        assert (kind in {item["Key"] for item in s3.list_objects_v2(Bucket="broadside-bucket").get("Contents", [])}) is there


def test_a_connection_drops_before_or_after_the_call_took_effect(bench: LocalCloud) -> None:
    """The caller gets no answer, and cannot know."""
    s3 = once(bench, "s3")
    for kind, there in (("drop", False), ("apply-then-drop", True)):
        bench.set_behaviour(faults=[{"action": "PutObject", "kind": kind}])
        with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
            s3.put_object(Bucket="broadside-bucket", Key=kind, Body=b"x")
        bench.set_behaviour()
        assert (kind in {item["Key"] for item in s3.list_objects_v2(Bucket="broadside-bucket").get("Contents", [])}) is there


def test_a_call_times_out(bench: LocalCloud) -> None:
    """No answer for so many seconds, then the connection closes."""
    bench.set_behaviour(faults=[{"action": "ListTables", "kind": "timeout", "seconds": 1}])
    client = bench.session().client("dynamodb", config=Config(retries={"total_max_attempts": 1}, read_timeout=0.3))
    with pytest.raises(ReadTimeoutError):
        client.list_tables()


def test_latency_is_added(bench: LocalCloud) -> None:
    """In real seconds."""
    bench.set_behaviour(latency={"dynamodb:List*": 0.3})
    begun = time.monotonic()
    bench.client("dynamodb").list_tables()
    assert time.monotonic() - begun >= 0.3


def test_what_is_fixed_at_the_start_cannot_be_changed(bench: LocalCloud) -> None:
    """The clock does not jump, and the stack does not move."""
    with pytest.raises(LocalCloudFailed, match="time_scale and home are fixed"):
        bench.set_behaviour(time_scale=1)
    with pytest.raises(LocalCloudFailed, match=r"faults\.0"):
        bench.set_behaviour(faults=[{"kind": "?"}])


def listens(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """A test run that is killed leaves no server behind."""
    template = tmp_path / "empty.json"
    template.write_text('{"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}}}')
    starter = """
import os, sys
from pathlib import Path
from broadside.local.cloud import LocalCloud
cloud = LocalCloud(state=Path(sys.argv[1]), options=("--template", sys.argv[2])).start()
print(cloud.endpoint, flush=True)
os._exit(1)
"""
    command = [sys.executable, "-c", starter, str(tmp_path / "state"), str(template)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    deadline = time.monotonic() + 20
    while listens(done.stdout.strip()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not listens(done.stdout.strip())


def test_a_folder_with_other_things_is_not_touched(tmp_path: Any) -> None:
    """A state folder is emptied at the start, so it must not be anybody's home."""
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, "-m", "broadside.local", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    assert done.returncode != 0
    assert "thesis.txt" in done.stderr
    assert (tmp_path / "thesis.txt").exists()
