"""All parts of the embedded cloud, put together around moto in one process."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import sqs_backends

from broadside.local import alarms, answers, ebs, ec2, http, scheduler, ssm, states
from broadside.local.access.delegation import Delegation
from broadside.local.access.guard import Guard
from broadside.local.behaviour import Behaviour
from broadside.local.calls import Call, Environ
from broadside.local.control import Control
from broadside.local.ebs.http import handle as handle_block
from broadside.local.events.bus import Bus
from broadside.local.events.changes import Changes
from broadside.local.events.courier import Courier
from broadside.local.front import Front, Shortcut
from broadside.local.functions.pool import Pool
from broadside.local.functions.service import LambdaService
from broadside.local.journal import Journal
from broadside.local.objects import install as objects
from broadside.local.objects.heap import Heap
from broadside.local.options import USER_KEY, USER_SECRET, Options
from broadside.local.quotas import Quotas
from broadside.local.scheduler.service import Reach
from broadside.local.ssm.service import Surroundings
from broadside.local.stack import service
from broadside.local.stack.deploy import Stack, deploy, transform
from broadside.local.turns import Turns
from broadside.local.world import ACCOUNT_ID, Clock, World


class Assembly:
    """Starts everything in its order, and stops it in the opposite one."""

    def __init__(self, options: Options, pool: Pool) -> None:
        behaviour = options.behaviour
        self._options = options
        self._pool = pool
        self._closing = ExitStack()
        self._world = World(options.state, behaviour, Clock(behaviour.time_scale))
        self._journal = self._closing.enter_context(closing(Journal(options.state / "calls.jsonl")))
        self._heap = self._closing.enter_context(closing(Heap(options.state / "objects.bin")))
        self._courier = self._closing.enter_context(closing(Courier(self._world.clock.now, behaviour.time_scale)))
        self._turns = Turns()
        self._delegation = Delegation(ACCOUNT_ID, self._enforced)
        self._lambdas = LambdaService(pool, ACCOUNT_ID, self._courier.later, send_message, self._delegation)
        self._changes = self._closing.enter_context(closing(Changes(ACCOUNT_ID, self._lambdas, behaviour.time_scale)))
        self._bus = Bus(
            account=ACCOUNT_ID,
            courier=self._courier,
            lambdas=self._lambdas,
            start_execution=self._start_execution,
            send_message=send_message,
            delegation=self._delegation,
            events=lambda: self._world.behaviour.events,
            seed=behaviour.seed,
        )
        self._scheduler = scheduler.install(
            self._world,
            Reach(
                delegation=self._delegation,
                later=self._courier.later,
                invoke=lambda arn, text: self._lambdas.invoke_later(self._lambdas.find(arn), text.encode()),
                start_execution=self._start_execution,
                send_message=send_message,
            ),
        )
        self._guard = Guard(ACCOUNT_ID, self._enforced)
        self._shortcuts: list[Shortcut] = [block]
        self._front = Front(
            behaviour=lambda: self._world.behaviour,
            now=self._world.clock.now,
            pool=pool,
            journal=self._journal,
            control=Control(
                journal=self._journal,
                current=lambda: self._world.behaviour,
                behave=self._behave,
                executions=lambda: states.executions(ACCOUNT_ID),
                fire=self._fire,
            ),
            guard=self._guard,
            shortcuts=self._shortcuts,
            turn=self._turns,
            application=DomainDispatcherApplication(create_backend_app),
        )

    def start(self) -> dict[str, Any]:
        """Serve, deploy, and say where everything is."""
        self._lambdas.install()
        states.install(self._lambdas.invoke, self._delegation, self._world.behaviour.time_scale)
        self._bus.install()
        alarms.install()
        self._changes.install()
        objects.install(self._heap)
        self._guard.install()
        ebs.install(self._world)
        images = ec2.install(self._world)
        ssm.install(self._world, images, self._around_parameters())
        Quotas(self._world).install()
        server = http.serve(self._front, self._options.port)
        self._closing.callback(server.stop)
        endpoint = f"http://{http.HOST}:{server.bind_addr[1]}"
        os.environ["MOTO_PORT"] = str(server.bind_addr[1])
        self._pool.serve_at(self._options.functions_endpoint or endpoint)
        stack = self._deploy(endpoint)
        self._shortcuts.append(service.answering(stack))
        self._bus.keep_schedules(self._world.behaviour.home)
        self._journal.reset()
        gc.freeze()  # what is here now stays: the collector need not look at it again
        return self._ready(endpoint, stack)

    def _enforced(self) -> bool:
        return self._world.behaviour.enforce_iam

    def _around_parameters(self) -> Surroundings:
        def may_describe(key: str) -> bool:
            worker = self._pool.worker_of(key)
            return worker is None or self._delegation.with_role(worker.function.role, "ec2:DescribeImages", "*") is None

        def later(seconds: float, errand: Callable[[], None]) -> None:
            def in_turn() -> None:
                with self._turns.of("ssm"):
                    errand()

            self._courier.later(seconds, in_turn)

        return Surroundings(may_describe, self._bus.publish, later)

    def _start_execution(self, arn: str, text: str) -> None:
        with self._turns.of("states"):
            states.start(ACCOUNT_ID, arn, text)

    def _fire(self, name: str) -> None:
        """Let a rule's schedule be due now, or one of EventBridge Scheduler's.

        Raises:
            KeyError: there is neither.
        """
        try:
            self._bus.fire(name, self._world.behaviour.home)
        except KeyError:
            self._scheduler.fire(ACCOUNT_ID, self._world.behaviour.home, name)

    def _deploy(self, endpoint: str) -> Stack:
        template = transform(_template(self._options.template))
        name, region = self._options.stack, self._world.behaviour.home
        public = {"PublicUrl": f"{endpoint}/{name}-publicbucket"}
        parameters = {key: value for key, value in public.items() if key in template.get("Parameters", {})}
        client = _clients(endpoint, region)
        return deploy(template, name=name, region=region, account=ACCOUNT_ID, parameters=parameters, client=client)

    def _ready(self, endpoint: str, stack: Stack) -> dict[str, Any]:
        outputs = {key: value for key, (value, _) in stack.outputs.items()}
        resources = stack.resources.values()
        return {
            "endpoint": endpoint,
            "region": self._world.behaviour.home,
            "access_key_id": USER_KEY,
            "secret_access_key": USER_SECRET,
            "public_url": outputs.get("PublicUrl", ""),
            "buckets": {key: value for key, value in outputs.items() if key.endswith("Bucket")},
            "table": outputs.get("IndexTable", ""),
            "state_machines": {
                item.logical_id: item.ref for item in resources if item.type == "AWS::StepFunctions::StateMachine"
            },
            "stack": stack.name,
            "outputs": outputs,
            "state": str(self._options.state),
            "pid": os.getpid(),
        }

    def _behave(self, wanted: Behaviour) -> None:
        """Set the behaviour at run time.

        Raises:
            ValueError: it changes what is fixed at the start.
        """
        had = self._world.behaviour
        if (wanted.time_scale, wanted.home) != (had.time_scale, had.home):
            raise ValueError("time_scale and home are fixed when the embedded cloud starts: start it anew to change them.")
        self._world.behaviour = wanted
        self._front.behave()

    def close(self) -> None:
        self._closing.close()


def block(environ: Environ, call: Call) -> answers.Answer | None:
    """The shortcut for the calls that come by the ten thousand."""
    found = handle_block(environ, call.region) if call.service == "ebs" else None
    return answers.answer(found[0], found[2], list(found[1].items())) if found else None


def send_message(arn: str, text: str) -> None:
    """Put a text into the queue with this ARN."""
    region, account, name = arn.split(":")[3:]
    sqs_backends[account][region].send_message(name, text)


def _template(path: Path | None) -> dict[str, Any]:
    if path is not None:
        template: dict[str, Any] = json.loads(path.read_text())
        return template
    from broadside.packaging import build_template  # noqa: PLC0415 - Chalice, which another template does not need

    return build_template()


def _clients(endpoint: str, region: str) -> Callable[[str], Any]:
    session = boto3.session.Session(region_name=region)
    return cache(lambda name: session.client(name, endpoint_url=endpoint))
