"""``broadside release``: let held builds out, at once or in waves, and steer that while it goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broadside.cli.builds import NotNow, recorded
from broadside.cli.common import App, client, make_console, make_table, plural, print_json
from broadside.cli.rollouts import Request, Rollouts, plan_of, show, wait_for
from chalicelib.errors import BadWaves
from chalicelib.index.records import BuildRecord, Kind, Publication, PublicationState

if TYPE_CHECKING:  # slow to import
    from chalicelib.rollout.preflight import Obstacle
    from chalicelib.rollout.waves import Plan


class ReleaseGroup(click.Group):
    """``broadside release BUILD`` is ``broadside release start BUILD``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=ReleaseGroup,
    epilog="""\b
Examples:
  broadside release released/20261120 --dry-run
  broadside release start released/20261120 --waves canary --wait
  broadside release plan released/20261120 --waves waves.yaml --at 2026-12-01T09:00Z
  broadside release pause 20261201-1
""",
)
def release() -> None:
    """Let held builds out: BUILD... is short for `start BUILD...`."""


def _options(command: Any) -> Any:
    """What `plan` and `start` have in common."""
    for option in (
        click.argument("builds", nargs=-1, required=True, metavar="BUILD..."),
        click.option("--waves", "waves", metavar="FILE|canary", help="In waves, as the file says; all at once unless given."),
        click.option("--at", metavar="TIME", help="When the first wave goes, such as 2026-12-01T09:00Z; now unless given."),
        click.option("--name", help="What to call the release; the day and a count unless given."),
    ):
        command = option(command)
    return command


@release.command()
@_options
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.pass_obj
def plan(
    app: App, /, *, builds: tuple[str, ...], waves: str | None, at: str | None, name: str | None, as_document: bool
) -> None:
    """Say what a release would do in each Region, and what stands in its way.  Nothing is changed.

    The exit code is 1 when something stands in the way.
    """
    request = _request(app, builds, waves, at, name)
    found = _obstacles(app, request)
    if as_document:
        print_json({**request.as_input(), "obstacles": [vars(each) for each in found]})
    else:
        show_plan(request, found)
    raise click.exceptions.Exit(1 if found else 0)


@release.command()
@_options
@click.option("--dry-run", is_flag=True, help="As `plan`: say what would be done, and do nothing.")
@click.option(
    "--wait", is_flag=True, help="Show the progress to the end; the exit code is 1 when it did not come out as asked."
)
@click.pass_obj
def start(
    app: App,
    /,
    *,
    builds: tuple[str, ...],
    waves: str | None,
    at: str | None,
    name: str | None,
    dry_run: bool,
    wait: bool,
) -> None:
    """Let the held builds out in every Region where they are staged, and make their files downloadable.

    BUILD is PRODUCT/STREAM/SERIAL, or the end of it where only one build has it.  All of them go out as one release.  A
    release that something stands in the way of is not started.
    """
    request = _request(app, builds, waves, at, name)
    found = _obstacles(app, request)
    show_plan(request, found)
    if found:
        raise click.exceptions.Exit(1)
    if dry_run:
        return
    rollouts = Rollouts.of(app)
    click.echo(f"The release {request.name} is started: {rollouts.begin(request)}")
    if wait:
        raise click.exceptions.Exit(wait_for(app, request.name, make_console()))


@release.command("list")
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(app: App, as_document: bool) -> None:
    """List releases and withdrawals, the newest first."""
    found = app.index.rollouts()
    if as_document:
        print_json([plan_of(each) for each in found])
        return
    rows = [
        [each.name, each.kind, each.state, f"{each.wave + 1} of {len(each.waves)}", plural(len(each.builds), "build"), each.at]
        for each in found
    ]
    make_console().print(make_table(["NAME", "KIND", "STATE", "WAVE", "BUILDS", "AT"], rows))


@release.command("show")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Show the progress to the end.")
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.pass_obj
def show_(app: App, name: str, wait: bool, as_document: bool) -> None:
    """Show how the release or withdrawal NAME stands, Region by Region."""
    if wait:
        raise click.exceptions.Exit(wait_for(app, name, make_console()))
    rollout = Rollouts.of(app).find(name)
    if as_document:
        print_json(plan_of(rollout))
    else:
        show(app.index, rollout, make_console())


def _steering(wish: str, text: str) -> None:
    @release.command(wish, help=text)
    @click.argument("name")
    @click.pass_obj
    def command(app: App, name: str) -> None:
        answer = Rollouts.of(app).steer(name, wish)
        click.echo(f"{name} is {answer['state']}.")


_steering("pause", "Have the release NAME stop before its next wave.")
_steering("continue", "Have the release NAME go on: from a pause, or through a gate that waits for approval.")
_steering("abort", "End the release NAME; what goes back is said by the wave file.")


def _request(app: App, builds: tuple[str, ...], waves: str | None, at: str | None, name: str | None) -> Request:
    index = app.index
    records = [recorded(index, text) for text in builds]
    publications = {record.id: index.publications(record.id) for record in records}
    regions = sorted({region for record in records for region in releasable(record, publications[record.id])})
    read = _plan(waves)
    return Request(
        name=name or Rollouts.of(app).next_name(),
        kind=Kind.RELEASE,
        builds=tuple(record.id for record in records),
        waves=read.assign(regions, str(app.session.region_name)),
        by=str(client(app.session, "sts").get_caller_identity()["Arn"]),
        at=_time(at),
        undo=read.undo,
    )


def releasable(record: BuildRecord, publications: list[Publication]) -> list[str]:
    """The Regions that a release would turn public.

    Raises:
        NotNow: the build is staged nowhere.
    """
    staged = sorted(each.region for each in publications if each.state is PublicationState.STAGED)
    if staged:
        return staged
    if any(each.state is PublicationState.PUBLIC for each in publications):
        raise NotNow(f"{record.id} is public already: it was released at {record.released_at} by {record.released_by}.")
    raise NotNow(
        f"{record.id} is {record.state}, and staged in no Region: see `broadside status {record.id}`. {record.reason}".rstrip()
    )


def _plan(waves: str | None) -> Plan:
    """The wave plan that the option means.

    Raises:
        BadWaves: the file cannot be read, or followed.
    """
    import yaml  # noqa: PLC0415 - slow to import

    from chalicelib.rollout.waves import AT_ONCE, CANARY, Plan  # noqa: PLC0415 - imports pydantic

    if waves is None:
        return AT_ONCE
    if waves == "canary":
        return CANARY
    try:
        return Plan.parse(yaml.safe_load(Path(waves).read_text(encoding="utf-8")), waves)
    except (OSError, UnicodeDecodeError) as error:
        raise BadWaves(f"{waves} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise BadWaves(f"{waves} is not YAML: {' '.join(str(error).split())}.") from error


def _time(text: str | None) -> str:
    """A time as the index writes it; empty for now."""
    if text is None:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: write 2026-12-01T09:00Z.", param_hint="--at") from None
    if at.tzinfo is None:
        raise click.BadParameter(f"{text} may be any time zone's: end it with Z or with +01:00.", param_hint="--at")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _obstacles(app: App, request: Request) -> list[Obstacle]:
    from chalicelib import policy  # noqa: PLC0415 - imports pydantic
    from chalicelib.rollout import preflight  # noqa: PLC0415

    index, regions = app.index, request.regions
    candidates = []
    for build in request.builds:
        record = recorded(index, str(build))
        wanted = 2 if policy.for_stream(build.stream).parameter else 0
        candidates.append(preflight.Candidate(record, tuple(index.publications(build)), wanted))
    inspector = preflight.Inspector(
        lambda service, region: client(app.session, service, region), any(each.parameters for each in candidates)
    )
    facts = inspector.look(preflight.images_of(candidates, regions))
    return preflight.obstacles(candidates, regions, facts, request.title)


def show_plan(request: Request, obstacles: list[Obstacle]) -> None:
    """The waves, and what stands in the way."""
    console = make_console()
    console.print(f"The release {request.name} of {', '.join(map(str, request.builds))}, {request.at or 'at once'}.")
    rows = [
        [each.name, plural(len(each.regions), "Region"), f"{each.bake} s", each.gate.kind, ", ".join(each.regions)]
        for each in request.waves
    ]
    console.print(make_table(["WAVE", "SIZE", "BAKE", "GATE", "REGIONS"], rows, wrap=["REGIONS"]))
    for each in obstacles:
        where = " ".join(part for part in (each.build, each.region) if part)
        console.print(f"✗ {where + ': ' if where else ''}{each.what}; {each.advice}.", soft_wrap=True)
    console.print(f"{plural(len(obstacles), 'obstacle')} in the way." if obstacles else "Nothing stands in the way.")
