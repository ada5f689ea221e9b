"""Step Functions: moto's interpreter, with the cloud's clock and functions that are called directly."""

from __future__ import annotations

import json
import re
import time
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.stepfunctions.parser import models
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.responses import StepFunctionResponse

from broadside.local import tasks
from broadside.local.access.delegation import Delegation
from broadside.local.callbacks import Callbacks
from broadside.local.patching import replace

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})")


def install(invoke: tasks.Invoke, delegation: Delegation, scale: float) -> None:
    """Let state machines really run; Wait states and Retry intervals go by ``scale`` times as fast.

    A Timestamp is a date, and dates are the wall clock's: a Wait state ends when that has come.
    """
    default_user_config["stepfunctions"] = {"execute_state_machine": True}

    def wait(_self: Any, env: Any, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds / scale
        while env.is_running() and (left := deadline - time.monotonic()) > 0:
            env.program_state_event.wait(left)

    def seconds_until(self: Any, env: Any) -> float:
        """moto rounds down, and would go on before the time."""
        self.string.eval(env=env)
        text = env.stack.pop()
        moment = date(text)
        if moment is None:
            raise FailureEventException(self._create_failure_event(env, text))
        return (moment.timestamp() - time.time()) * scale

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
    replace(Timestamp, _from_timestamp_string=staticmethod(date), _get_wait_seconds=seconds_until)
    replace(retrier_decl, time=SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / scale)))
    tasks.install(invoke, delegation)
    Callbacks(scale).install()
    _tell_why_stopped()


def _tell_why_stopped() -> None:
    """Let StopExecution's error and cause reach whoever describes the execution.

    moto drops them, and lets an execution fail when the state that is stopped takes it for an error.
    """
    reflect: Any = BaseExecutionWorkerCommunication._reflect_execution_status
    set_error = Environment.set_error

    def unless_stopped(self: Any, error: Any) -> None:
        if not isinstance(self.program_state(), ProgramStopped):
            set_error(self, error)

    def with_reason(self: Any) -> None:
        reflect(self)
        state = self.execution.exec_worker.env.program_state()
        if isinstance(state, ProgramStopped):
            self.execution.error, self.execution.cause = state.error, state.cause

    def stop_execution(response: Any) -> ActionResult:
        execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
        stopped = datetime.now(UTC)
        execution.stop(stop_date=stopped, error=response._get_param("error"), cause=response._get_param("cause"))
        return ActionResult({"stopDate": execution.stop_date or stopped})

    replace(BaseExecutionWorkerCommunication, _reflect_execution_status=with_reason)
    replace(Environment, set_error=unless_stopped)
    replace(StepFunctionResponse, stop_execution=stop_execution)


def date(text: Any) -> datetime | None:
    """A Wait state's timestamp: RFC 3339 with an uppercase T, and Z where there is no offset."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


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
