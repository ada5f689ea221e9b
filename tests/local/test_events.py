"""What happens by itself: uploads, changes of a table, schedules; and the patterns that choose."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from broadside.local.cloud import LocalCloud
from broadside.local.events.bus import period
from broadside.local.events.pattern import BadPattern, matches

BUCKET, TABLE = "broadside-bucket", "broadside-Table"


def count(bench: LocalCloud, key: str) -> int:
    """How often the function that counts ``key`` has run."""
    item = bench.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "count"}, "sk": {"S": key}}).get("Item")
    return int(item["seen"]["N"]) if item else 0


def uploaded(bench: LocalCloud, key: str) -> dict[str, Any]:
    """The event that the function has seen of an object, once it has counted it."""
    bench.wait_until(lambda: count(bench, f"uploaded:{key}"), what=f"the event of {key}")
    item = bench.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "upload"}, "sk": {"S": key}})["Item"]
    event: dict[str, Any] = json.loads(item["event"]["S"])
    return event


def test_an_upload_reaches_its_function_through_eventbridge(bench: LocalCloud) -> None:
    """In EventBridge's form: the key as it is, not quoted, with version, size and ETag."""
    key = "a folder/prêt+à porter.bin"
    put = bench.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"abc")
    event = uploaded(bench, key)
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    assert event["detail"]["reason"] == "PutObject"
    thing = event["detail"]["object"]
    assert (thing["key"], thing["size"], thing["version-id"]) == (key, 3, put["VersionId"])
    assert f'"{thing["etag"]}"' == put["ETag"]


def test_an_upload_in_parts_is_one_event(bench: LocalCloud, tmp_path: Any) -> None:
    """With the reason that S3 gives, and when it is complete."""
    file = tmp_path / "parts"
    file.write_bytes(os.urandom(11 << 20))
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    bench.client("s3").upload_file(str(file), BUCKET, "parts.bin", Config=parts)
    event = uploaded(bench, "parts.bin")
    assert event["detail"]["reason"] == "CompleteMultipartUpload"
    assert event["detail"]["object"]["size"] == 11 << 20
    bench.client("s3").put_object(Bucket=BUCKET, Key="after-parts.bin", Body=b"")
    uploaded(bench, "after-parts.bin")
    assert count(bench, "uploaded:parts.bin") == 1


def test_an_object_that_the_pattern_does_not_want_wakes_nobody(bench: LocalCloud) -> None:
    """The rule's pattern decides."""
    bench.client("s3").put_object(Bucket=BUCKET, Key="notes.txt", Body=b"")
    bench.client("s3").put_object(Bucket=BUCKET, Key="after-notes.bin", Body=b"")
    uploaded(bench, "after-notes.bin")
    assert count(bench, "uploaded:notes.txt") == 0


def test_events_come_as_often_as_the_behaviour_says(bench: LocalCloud) -> None:
    """At least once may be five times."""
    bench.set_behaviour(events={"duplicate": 5, "shuffle_seconds": 10})
    bench.client("s3").put_object(Bucket=BUCKET, Key="five.bin", Body=b"")
    bench.wait_until(lambda: count(bench, "uploaded:five.bin") == 5, what="five deliveries")


def test_events_may_be_lost(bench: LocalCloud) -> None:
    """Then only a sweep finds the object."""
    bench.set_behaviour(events={"lost": 1})
    bench.client("s3").put_object(Bucket=BUCKET, Key="lost.bin", Body=b"")
    bench.set_behaviour()
    bench.client("s3").put_object(Bucket=BUCKET, Key="after-lost.bin", Body=b"")
    uploaded(bench, "after-lost.bin")
    assert count(bench, "uploaded:lost.bin") == 0


def changes(bench: LocalCloud) -> list[dict[str, Any]]:
    """The stream records that the function has written down, in the order of their numbers."""
    s3 = bench.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix="changes/").get("Contents", [])
    return [json.load(s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"]) for item in found]


def test_a_table_tells_its_changes_in_order(bench: LocalCloud) -> None:
    """Insert, modify and remove of the items that the filter wants; a write that changes nothing is no change."""
    dynamodb = bench.client("dynamodb")
    key = {"pk": {"S": "followed"}, "sk": {"S": "order"}}
    dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": "ignored"}, "sk": {"S": "order"}})
    dynamodb.put_item(TableName=TABLE, Item={**key, "n": {"N": "1"}})
    dynamodb.put_item(TableName=TABLE, Item={**key, "n": {"N": "1"}})
    dynamodb.put_item(TableName=TABLE, Item={**key, "n": {"N": "2"}})
    dynamodb.delete_item(TableName=TABLE, Key=key)

    def seen() -> list[dict[str, Any]]:
        return [record for record in changes(bench) if record["dynamodb"]["Keys"]["sk"] == {"S": "order"}]

    bench.wait_until(lambda: len(seen()) >= 3, what="three changes")
    records = seen()
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert records[1]["dynamodb"]["OldImage"]["n"] == {"N": "1"}
    assert records[1]["dynamodb"]["NewImage"]["n"] == {"N": "2"}
    assert records[0]["eventSourceARN"].startswith("arn:aws:dynamodb:us-east-1:123456789012:table/broadside-Table/stream/")


def test_a_batch_of_changes_is_tried_until_it_is_taken(bench: LocalCloud) -> None:
    """A function that fails once sees the same changes again."""
    bench.set_behaviour(faults=[{"caller": "broadside-Changed", "action": "PutObject", "nth": 1, "kind": "kill"}])
    bench.client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": "followed"}, "sk": {"S": "again"}})
    bench.wait_until(
        lambda: [record for record in changes(bench) if record["dynamodb"]["Keys"]["sk"] == {"S": "again"}], what="the change"
    )
    assert [call["trouble"] for call in bench.calls(caller="broadside-Changed")] == ["kill", ""]


def test_a_schedule_is_due_when_told(bench: LocalCloud) -> None:
    """Nobody waits a day for a test."""
    before = count(bench, "swept")
    bench.fire_schedule(bench.ready["outputs"]["SweepRule"])
    bench.wait_until(lambda: count(bench, "swept") > before, what="the sweep")


RATES = [("rate(15 minutes)", 900), ("rate(1 hour)", 3600), ("rate(2 days)", 172800)]


@pytest.mark.parametrize(("expression", "seconds"), RATES)
def test_a_rate_is_understood(expression: str, seconds: float) -> None:
    """EventBridge's own words."""
    assert period(expression) == seconds


def test_a_schedule_of_another_kind_is_refused() -> None:
    """Rather than never being due."""
    with pytest.raises(ValueError, match="cron"):
        period("cron(0 12 * * ? *)")


EVENT = {"source": "aws.s3", "n": 5, "tags": ["a", "b"], "detail": {"key": "a/build.sjson", "none": None}}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3", "aws.ec2"]},
        {"tags": ["b"]},
        {"n": [5]},
        {"detail": {"none": [None]}},
        {"detail": {"key": [{"prefix": "a/"}]}},
        {"detail": {"key": [{"suffix": ".sjson"}]}},
        {"detail": {"key": [{"wildcard": "*/build.*"}]}},
        {"detail": {"key": [{"equals-ignore-case": "A/BUILD.SJSON"}]}},
        {"detail": {"key": [{"anything-but": ["x", "y"]}]}},
        {"detail": {"key": [{"anything-but": {"suffix": "build.status.json"}}]}},
        {"detail": {"missing": [{"exists": False}]}},
        {"detail": {"key": [{"exists": True}]}},
        {"n": [{"numeric": [">", 4, "<=", 5]}]},
        {"$or": [{"source": ["no"]}, {"n": [5]}]},
    ],
)
def test_a_pattern_matches(pattern: dict[str, Any]) -> None:
    """As EventBridge and Lambda's filters do."""
    assert matches(pattern, EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.ec2"]},
        {"n": ["5"]},
        {"n": [True]},
        {"detail": {"key": [{"prefix": "b/"}]}},
        {"detail": {"key": [{"suffix": ".json"}]}},
        {"detail": {"key": [{"wildcard": "build.*"}]}},
        {"detail": {"key": [{"anything-but": "a/build.sjson"}]}},
        {"detail": {"key": [{"anything-but": {"suffix": ["x", ".sjson"]}}]}},
        {"detail": {"missing": [{"anything-but": "x"}]}},
        {"detail": {"missing": ["x"]}},
        {"detail": {"key": [{"exists": False}]}},
        {"n": [{"numeric": [">", 5]}]},
        {"source": {"deeper": ["x"]}},
    ],
)
def test_a_pattern_does_not_match(pattern: dict[str, Any]) -> None:
    """A field that is not there matches nothing but its absence."""
    assert not matches(pattern, EVENT)


def test_an_unknown_comparison_is_no_silent_miss() -> None:
    """A rule that never fires would be found too late."""
    with pytest.raises(BadPattern, match="cidr"):
        matches({"source": [{"cidr": "10.0.0.0/8"}]}, EVENT)
