"""Functions: their environment, their limits, their errors, and what happens to asynchronous events."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from broadside.local.cloud import LocalCloud


def invoke(bench: LocalCloud, name: str, payload: dict[str, Any] | None = None, **options: str) -> tuple[str, Any]:
    """Function error and parsed payload."""
    answer = bench.client("lambda").invoke(FunctionName=f"broadside-{name}", Payload=json.dumps(payload or {}), **options)
    content = answer["Payload"].read()
    return answer.get("FunctionError", ""), json.loads(content) if content else None


def test_a_function_sees_its_own_environment_and_nothing_else(bench: LocalCloud) -> None:
    """Not the server's, not the user's, not another function's."""
    error, answer = invoke(bench, "Echo", {"a": [1, "ü"]})
    assert error == ""
    assert answer["event"] == {"a": [1, "ü"]}
    environment = answer["environment"]
    assert environment["TABLE"] == "broadside-Table"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "broadside-Echo"
    assert environment["AWS_ENDPOINT_URL"] == bench.endpoint
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert set(environment) <= {"TABLE", "LANG", "LC_CTYPE", "PATH", "TMPDIR", "TZ", "_HANDLER"} | {
        name for name in environment if name.startswith("AWS_")
    }
    assert 4000 < answer["left"] <= 5000


def test_an_exception_becomes_the_answer_that_lambda_gives(bench: LocalCloud) -> None:
    """The class name is what state machines match."""
    error, answer = invoke(bench, "Fail", {"message": "no disk"})
    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("NotYet", "no disk")
    assert any("in fail" in line for line in answer["stackTrace"])


def test_time_is_limited(bench: LocalCloud) -> None:
    """A function that runs on is killed, and the next invocation gets a new process."""
    begun = time.monotonic()
    error, answer = invoke(bench, "Slow", {"seconds": 30})
    assert time.monotonic() - begun < 5
    assert error == "Unhandled"
    assert answer["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in answer["errorMessage"]
    assert invoke(bench, "Slow", {"seconds": 0}) == ("", {})


def test_memory_is_limited(bench: LocalCloud) -> None:
    """More than the template grants is no memory at all."""
    error, answer = invoke(bench, "Fat", {"mib": 300})
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.OutOfMemory"
    assert invoke(bench, "Fat", {"mib": 10}) == ("", 10 << 20)


def test_reserved_concurrency_is_kept(bench: LocalCloud) -> None:
    """Two invocations of a function that may run once at a time come one after the other."""
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _number: invoke(bench, "Slow", {"seconds": 0.4}), range(2)))
    assert answers == [("", {}), ("", {})]
    assert time.monotonic() - begun >= 0.8


def test_invocations_run_side_by_side(bench: LocalCloud) -> None:
    """Each in a process of its own: four naps take as long as one."""
    invoke(bench, "Nap", {"seconds": 0})
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _number: invoke(bench, "Nap", {"seconds": 1}), range(4)))
    assert answers == [("", {})] * 4
    assert time.monotonic() - begun < 3


def test_an_asynchronous_event_is_tried_again_and_then_reported(bench: LocalCloud) -> None:
    """As often as the template says, and then to the queue that it names."""
    queue = bench.ready["outputs"]["Lost"]
    sqs = bench.client("sqs")
    invoke(bench, "Fail", {"message": "lost"}, InvocationType="Event")
    message = bench.wait_until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), what="the dead letter")[0]
    body = json.loads(message["Body"])
    assert body["requestContext"]["approximateInvokeCount"] == 2
    assert body["requestPayload"] == {"message": "lost"}
    assert body["responsePayload"]["errorType"] == "NotYet"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def test_a_kill_ends_the_process_that_makes_the_call(bench: LocalCloud) -> None:
    """Before or after the call takes effect: the function never learns which."""
    table = bench.client("dynamodb")
    for kind, there in (("kill", False), ("apply-then-kill", True)):
        bench.set_behaviour(faults=[{"caller": "broadside-Flaky", "action": "UpdateItem", "nth": 1, "kind": kind}])
        error, answer = invoke(bench, "Flaky", {"key": kind, "until": 1})
        assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ExitError")
        item = table.get_item(TableName="broadside-Table", Key={"pk": {"S": "count"}, "sk": {"S": kind}}).get("Item")
        assert (item is not None) is there
    assert invoke(bench, "Flaky", {"key": "alive", "until": 1}) == ("", {"seen": 1})


def test_a_function_may_do_what_its_role_says_and_no_more(bench: LocalCloud) -> None:
    """A permission that the template forgot is found here, not in the account."""
    error, answer = invoke(bench, "Forbidden")
    assert (error, answer["code"]) == ("", "AccessDeniedException")
    assert "dynamodb:DeleteItem on resource: arn:aws:dynamodb:us-east-1:123456789012:table/broadside" in answer["message"]
    assert [call["trouble"] for call in bench.calls(caller="broadside-Forbidden")] == ["iam"]
    bench.set_behaviour(enforce_iam=False)
    assert invoke(bench, "Forbidden") == ("", {"code": ""})


def test_logs_and_reports_are_files(bench: LocalCloud) -> None:
    """One file a function: what it printed, and how long and how large each invocation was."""
    invoke(bench, "Fail", {"message": "look here"})
    log = (bench.state / "logs" / "broadside-Fail.log").read_text()
    assert "NotYet: look here" in log
    report = json.loads([line for line in log.splitlines() if line.startswith('{"report"')][-1])
    assert report["error"] == "NotYet"
    assert 10 < report["peak_mib"] < 256
