"""What the commands share: the stack and its names, consoles, tables, JSON, exit codes."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from chalicelib.errors import BroadsideError, CloudBusy, CloudError, CloudRefused, SetupWrong

if TYPE_CHECKING:  # boto3 takes a fifth of a second to import: only commands that talk to the cloud pay for it
    from boto3.session import Session

    from chalicelib.aws import Client
    from chalicelib.index.table import Index


class ExitCode(IntEnum):
    """What every command answers to its shell."""

    OK = 0
    FAILED = 1  # refused, or it did not come out as asked
    USAGE = 2  # click's own
    CLOUD = 3  # the cloud is out of reach, refuses us, or the installation lacks something
    INTERRUPTED = 130


@dataclass(frozen=True)
class Stack:
    """The deployed stack, found by its name: the outputs of its template."""

    builds_bucket: str
    public_bucket: str
    work_bucket: str
    index_table: str
    publish_state_machine: str
    rollout_state_machine: str
    steer_rollout: str
    signing_secret: str
    public_url: str

    @classmethod
    def find(cls, name: str, session: Session) -> Stack:
        """Read the outputs of the CloudFormation stack ``name`` in the session's Region.

        Raises:
            SetupWrong: there is no such stack, or it is not one of Broadside's.
            CloudError: CloudFormation did not answer, or refused.
        """
        try:
            described = client(session, "cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except CloudRefused as error:
            if error.code == "ValidationError":  # CloudFormation's word for "does not exist"
                raise SetupWrong(
                    f"There is no stack {name!r} in {session.region_name}: name it with --stack and --region, "
                    "or start the embedded cloud with `broadside local up`."
                ) from error
            raise
        return cls.from_outputs(name, {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])})

    @classmethod
    def from_outputs(cls, name: str, outputs: Mapping[str, str]) -> Stack:
        """Take the outputs by their names in the template: ``BuildsBucket`` is ``builds_bucket``.

        Raises:
            SetupWrong: an output is missing.
        """
        wanted = {field.name: field.name.title().replace("_", "") for field in fields(cls)}
        missing = [output for output in wanted.values() if output not in outputs]
        if missing:
            raise SetupWrong(f"The stack {name!r} has no output {missing[0]}: is it Broadside's, and deployed to the end?")
        return cls(**{attribute: outputs[output] for attribute, output in wanted.items()})


@dataclass
class App:
    """The options of the root command, and what is made from them when a command first asks (``@click.pass_obj``)."""

    stack_name: str = "broadside"
    profile: str | None = None
    region: str | None = None

    @cached_property
    def session(self) -> Session:
        from boto3.session import Session  # noqa: PLC0415 - slow to import, see above

        session = Session(profile_name=self.profile, region_name=self.region)
        if session.region_name is None:
            raise SetupWrong("No Region is set: give --region, or set AWS_REGION or the profile's region.")
        return session

    @cached_property
    def stack(self) -> Stack:
        return Stack.find(self.stack_name, self.session)

    @property
    def index(self) -> Index:
        return open_index(self.stack, self.session)


def client(session: Session, service: str, region: str | None = None, *, connections: int = 10) -> Client:
    """A client of the user's session that raises Broadside's errors; in the session's Region unless told otherwise."""
    from chalicelib import aws  # noqa: PLC0415 - imports boto3

    region = region or str(session.region_name)
    try:
        made = session.client(service, region_name=region, config=aws.config(connections=connections))
    except ValueError as error:  # how botocore refuses the endpoint that the environment or the profile names
        raise SetupWrong(f"The cloud cannot be used: {error}.") from error
    return aws.Client(service, region, made)


def open_index(stack: Stack, session: Session) -> Index:
    """The index of the stack, through the user's own rights."""
    from chalicelib.index.table import Index  # noqa: PLC0415 - imports boto3

    return Index(stack.index_table, client(session, "dynamodb"))


def free_port(_ctx: click.Context, _param: click.Parameter, port: int) -> int:
    """The callback of an option that names a port on loopback: refuses one that cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.BadParameter(f"port {port} cannot be had ({error.strerror}): name another, or 0.") from error
    return port


def explain(error: Exception) -> tuple[str, ExitCode] | None:
    """The sentence and the exit code of an expected error; None for one that is a mistake in the program."""
    if isinstance(error, CloudBusy):
        return f"The cloud does not answer: {error}", ExitCode.CLOUD
    if isinstance(error, CloudError | SetupWrong):
        return str(error), ExitCode.CLOUD
    if isinstance(error, BroadsideError):
        return str(error), ExitCode.FAILED
    if type(error).__module__.startswith(("botocore.", "boto3.")):  # by name, so that the help does not import botocore
        return f"The cloud cannot be used: {str(error).rstrip('.')}.", ExitCode.CLOUD
    return None


def make_console(stream: TextIO | None = None) -> Console:
    """A console on ``stream`` (default: standard output): colours and redrawing on a terminal, plain long lines elsewhere.

    rich itself honours ``NO_COLOR`` and ``TERM=dumb``.
    """
    stream = stream or sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 1000, highlight=False, markup=False, emoji=False)


@dataclass(frozen=True)
class Unpadded:
    """What it holds, without the blanks that rich fills lines up with."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for line in console.render_lines(self.content, options, pad=False):
            while line and not line[-1].text.strip():
                line.pop()
            if line:
                text, style, control = line.pop()
                line.append(Segment(text.rstrip(), style, control))
            yield from line
            yield Segment.line()


def make_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, wrap: Sequence[str] = ()) -> Unpadded:
    """A table without borders.  Only the columns named in ``wrap`` may be folded: ids must stay whole to be copied."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column not in wrap, overflow="fold")
    for row in rows:
        table.add_row(*(cell if hasattr(cell, "__rich__") or hasattr(cell, "__rich_console__") else str(cell) for cell in row))
    return Unpadded(table)


def print_json(value: Any) -> None:
    """Print ``value`` for programs: one JSON document, keys in their given order."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def plural(number: int, noun: str) -> str:
    """``1 Region``, ``2 Regions``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
