"""Builds whose publication ended without a word: timed out, stopped by somebody, or lost with its last step."""

from __future__ import annotations

from chalicelib import aws
from chalicelib.index.records import BuildRecord, BuildState
from chalicelib.index.table import Index

#: Seconds without a change after which it is asked whether anything still runs for a build that is being published.
PATIENCE = 3600

REASON = "Its publication ended without a result: see its execution in Step Functions, then retry the build."


def find(index: Index, states: aws.Client, machine: str) -> list[BuildRecord]:
    """The builds that are being published for long, and that no running execution of ``machine`` is about.

    Raises:
        CloudBusy, CloudRefused: from DynamoDB and Step Functions.
    """
    open_builds = [
        record
        for stream in index.streams()
        for record in index.builds(stream)
        if record.state is BuildState.PUBLISHING and index.seconds_since(record.updated) > PATIENCE
    ]
    if not open_builds:
        return []
    listed = states.pages("list_executions", "executions", stateMachineArn=machine, statusFilter="RUNNING")
    running = [str(execution["name"]) for execution in listed]
    # The first try and the retries of a build have names that begin alike.
    return [each for each in open_builds if not any(name.startswith(each.id.execution_name(each.digest)) for name in running)]
