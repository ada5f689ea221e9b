"""Step Functions: moto's interpreter, with the cloud's clock and functions that are called directly."""

from __future__ import annotations

import json
import re
import time
import uuid
from types import SimpleNamespace
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions.parser import models
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from broadside.local import tasks
from broadside.local.access.delegation import Delegation
from broadside.local.patching import replace


def install(invoke: tasks.Invoke, delegation: Delegation, scale: float) -> None:
    """Let state machines really run; Wait states and Retry intervals go by ``scale`` times as fast."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}

    def wait(_self: Any, env: Any, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds / scale
        while env.is_running() and (left := deadline - time.monotonic()) > 0:
            env.program_state_event.wait(left)

    original = DistributedIterationComponent._map_run

    def map_run(self: Any, env: Any, eval_input: Any) -> None:
        tasks.may_start_children(env, delegation)
        original(self, env, eval_input)
        record = eval_input.map_run_record
        if intolerable(record.item_counter.failed.get(), record):
            cause = "The specified tolerated failure threshold was exceeded"
            raise tasks.map_failure(env, StatesErrorNameType.StatesExceedToleratedFailureThreshold, cause)

    parse = AmazonStateLanguageParser.parse
    replace(AmazonStateLanguageParser, parse=staticmethod(lambda definition: parse(_with_decimals(definition))))
    replace(DistributedIterationComponent, _map_run=map_run)
    replace(WaitFunction, _wait_interval=wait)
    replace(retrier_decl, time=SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / scale)))
    tasks.install(invoke, delegation)


def intolerable(failed: int, record: Any) -> bool:
    """Whether more items of a distributed Map failed than its state tolerates, which is none when it says nothing.

    Of a count and a percentage, either one is enough.  moto says 0 for what the state does not say.
    """
    share = 100 * failed / max(1, record.item_counter.total.get())
    thresholds = ((failed, record.tolerated_failure_count), (share, record.tolerated_failure_percentage))
    said = [(actual, tolerated) for actual, tolerated in thresholds if tolerated]
    return any(actual > tolerated for actual, tolerated in said or [(failed, 0)])


def _with_decimals(definition: str) -> str:
    """moto's grammar wants 100.0 where Step Functions takes 100 as well."""
    return re.sub(r'("ToleratedFailurePercentage"\s*:\s*\d+)(?=\s*[,}\n])', r"\1.0", definition)


def start(account: str, arn: str, text: str, name: str = "") -> str:
    """Start an execution; gives its ARN."""
    backend = models.stepfunctions_parser_backends[account][arn.split(":")[3]]
    return str(backend.start_execution(arn, name or str(uuid.uuid4()), text).execution_arn)


def executions(account: str) -> list[dict[str, Any]]:
    """Every execution, with its input, its outcome and the names of the states it has entered."""
    found = []
    for backend in models.stepfunctions_parser_backends[account].values():
        for machine in backend.state_machines:
            found += [_described(execution) for execution in machine.executions]
    return found


def _described(execution: Any) -> dict[str, Any]:
    described = json.loads(json.dumps(execution.to_describe_output(), default=str))
    events = execution.to_history_output()["events"]
    described["states"] = [
        event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event
    ]
    return dict(described)
