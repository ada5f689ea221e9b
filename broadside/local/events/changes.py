"""DynamoDB streams to functions: Lambda's event source mappings, in order per shard (moto has one shard a table)."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.awslambda.models import LambdaBackend
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import StreamRecord, StreamShard

from broadside.local.events.pattern import matches
from broadside.local.functions.pool import Outcome
from broadside.local.functions.service import LambdaService
from broadside.local.patching import replace

log = logging.getLogger(__name__)

Record = dict[str, Any]

#: What a function's role must be allowed to do with a stream that wakes it.
READING = ("dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream")

#: Seconds between attempts of a failed batch, doubling up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@dataclass(frozen=True)
class Source:
    """One event source mapping, as far as a DynamoDB stream uses it."""

    function: str
    stream: str
    batch_size: int
    window: float
    filters: tuple[Record, ...]
    #: How often a failed batch is tried again; None without end.
    retries: int | None
    bisect: bool
    report_failures: bool
    on_failure: str

    @classmethod
    def parse(cls, spec: Record, function: str) -> Source:
        retries = spec.get("MaximumRetryAttempts", -1)
        filters = spec.get("FilterCriteria", {}).get("Filters", [])
        return cls(
            function=function,
            stream=spec["EventSourceArn"],
            batch_size=int(spec.get("BatchSize") or 100),
            window=float(spec.get("MaximumBatchingWindowInSeconds", 0)),
            filters=tuple(json.loads(item["Pattern"]) for item in filters),
            retries=None if int(retries) < 0 else int(retries),
            bisect=spec.get("BisectBatchOnFunctionError") in (True, "true"),
            report_failures="ReportBatchItemFailures" in spec.get("FunctionResponseTypes", []),
            on_failure=spec.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", ""),
        )


class Changes:
    """All mappings from tables to functions; each has a thread that follows its stream from the beginning."""

    def __init__(self, account: str, lambdas: LambdaService, scale: float) -> None:
        self._account = account
        self._lambdas = lambdas
        self._scale = scale
        self._changed = threading.Condition()
        self._closed = threading.Event()

    def install(self) -> None:
        """Take the place of moto's delivery, which happens in the writer's thread and knows none of the settings."""
        changes = self
        original = LambdaBackend.create_event_source_mapping

        def create_event_source_mapping(self: Any, spec: Record) -> Any:
            if ":dynamodb:" not in spec["EventSourceArn"]:
                raise NotImplementedError(f"The embedded cloud follows DynamoDB streams, and not {spec['EventSourceArn']}.")
            source = Source.parse(spec, self.get_function(spec["FunctionName"]).function_arn)
            changes.check(source)
            mapping = original(self, spec)
            changes.follow(source)
            return mapping

        def add(self: Any, old: Any, new: Any) -> None:
            if old is not None and new is not None and old.attrs == new.attrs:
                return  # DynamoDB streams tell of changes only
            changes.add(self, old, new)

        replace(LambdaBackend, create_event_source_mapping=create_event_source_mapping)
        replace(StreamShard, add=add)

    def check(self, source: Source) -> None:
        """Refuse a mapping that the function's role could not carry out.

        Raises:
            InvalidParameterValueException: a permission is missing.
        """
        reading = ((action, source.stream) for action in READING)
        wanted = (*reading, ("dynamodb:ListStreams", "*"), ("sqs:SendMessage", source.on_failure))
        self._lambdas.need(self._lambdas.find(source.function).role, *wanted)

    def add(self, shard: Any, old: Any, new: Any) -> None:
        """A table's item has changed from ``old`` to ``new`` (None: was not there, is gone)."""
        name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        with self._changed:
            number = shard.starting_sequence_number + len(shard.items)
            view = shard.table.stream_specification["StreamViewType"]
            shard.items.append(StreamRecord(shard.table, view, name, old, new, number))
            self._changed.notify_all()

    def follow(self, source: Source) -> None:
        threading.Thread(target=self._follow, args=[source], name="changes", daemon=True).start()

    def _follow(self, source: Source) -> None:
        region, table = source.stream.split(":")[3], source.stream.split("/")[1]
        shard: Any = dynamodb_backends[self._account][region].get_table(table).stream_shard
        position = 0
        while not self._closed.is_set():
            with self._changed:
                self._changed.wait_for(lambda: len(shard.items) > position or self._closed.is_set())  # noqa: B023 - waited for here
            self._closed.wait(source.window / self._scale)
            batch = shard.items[position : position + source.batch_size]
            position += len(batch)
            records = [record for record in (_record(item, source.stream) for item in batch) if _wanted(source, record)]
            if records:
                self._deliver(source, records)

    def _deliver(self, source: Source, records: list[Record]) -> None:
        """Until the function has taken every record, or the retries are used up."""
        attempt, pause = 0, FIRST_PAUSE
        while records and not self._closed.is_set():
            outcome = self._lambdas.invoke(source.function, json.dumps({"Records": records}).encode())
            left = _left(source, records, outcome)
            if not left:
                return
            if source.bisect and len(left) > 1:
                middle = len(left) // 2
                self._pause(pause)
                self._deliver(source, left[:middle])
                self._deliver(source, left[middle:])
                return
            attempt = attempt + 1 if len(left) == len(records) else 1
            records = left
            if source.retries is not None and attempt > source.retries:
                self._give_up(source, records, outcome)
                return
            self._pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds / self._scale)

    def _give_up(self, source: Source, records: list[Record], outcome: Outcome) -> None:
        log.warning("%d changes for %s are given up.", len(records), source.function)
        if not source.on_failure:
            return
        report = {
            "requestContext": {
                "requestId": outcome.request_id,
                "functionArn": source.function,
                "condition": "RetryAttemptsExhausted",
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": outcome.error},
            "version": "1.0",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "DDBStreamBatchInfo": {
                "streamArn": source.stream,
                "startSequenceNumber": records[0]["dynamodb"]["SequenceNumber"],
                "endSequenceNumber": records[-1]["dynamodb"]["SequenceNumber"],
                "batchSize": len(records),
            },
        }
        self._lambdas.report(self._lambdas.find(source.function), source.on_failure, report)

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()


def _left(source: Source, records: list[Record], outcome: Outcome) -> list[Record]:
    """The records that have to be delivered again: all, or those from the first that failed on."""
    if outcome.error:
        return records
    answer = json.loads(outcome.payload) if source.report_failures else None
    failures = (answer or {}).get("batchItemFailures") or [] if isinstance(answer, dict) else []
    if not failures:
        return []
    failed = {failure["itemIdentifier"] for failure in failures}
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    return records[min((numbers.index(number) for number in failed if number in numbers), default=0) :]


def _wanted(source: Source, record: Record) -> bool:
    return not source.filters or any(matches(pattern, record) for pattern in source.filters)


def _record(item: Any, stream: str) -> Record:
    """A stream record as Lambda hands it over."""
    record: Record = json.loads(json.dumps(item.to_json(), default=_plain))
    return {**record, "eventVersion": "1.1", "awsRegion": stream.split(":")[3], "eventSourceARN": stream}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} in a stream record")
