"""``broadside release``: turn a held build public everywhere."""

from __future__ import annotations

import click

from broadside.cli.builds import Executions, NotNow, recorded, release_names
from broadside.cli.common import App, client, make_console, plural
from broadside.cli.progress import watch
from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState


@click.command(
    epilog="""\b
Examples:
  broadside release released/20261120 --dry-run
  broadside release com.example.cloud:server:24.04:amd64/released/20261120 --wait
"""
)
@click.argument("build")
@click.option("--dry-run", is_flag=True, help="Say what would become public, and do nothing.")
@click.option("--wait", is_flag=True, help="Show the progress until it is done; the exit code is 1 when a Region failed.")
@click.pass_obj
def release(app: App, build: str, dry_run: bool, wait: bool) -> None:
    """Turn the held BUILD public in every Region where it is staged, and its files downloadable.

    BUILD is PRODUCT/STREAM/SERIAL, or the end of it where only one build has it.  It is recorded who released it.
    """
    index = app.index
    record = recorded(index, build)
    publications = index.publications(record.id)
    staged = releasable(record, publications)
    for line in plan(record, publications, staged):
        click.echo(line)
    if dry_run:
        return
    executions = Executions(client(app.session, "stepfunctions"), app.stack.release_state_machine)
    name, running = executions.first_open(release_names(record))
    if not running:
        by = client(app.session, "sts").get_caller_identity()["Arn"]
        executions.start(name, {"build": str(record.id), "by": by})
    click.echo(f"{'It is being released already' if running else 'The release is started'}: {executions.arn(name)}")
    if wait:
        watched = watch(app.stack, app.session, record.id, make_console(), busy=lambda: executions.is_running(name))
        raise click.exceptions.Exit(watched)


def releasable(record: BuildRecord, publications: list[Publication]) -> list[str]:
    """The Regions that a release would turn public.

    Raises:
        NotNow: the build is not held.
    """
    staged = sorted(each.region for each in publications if each.state is PublicationState.STAGED)
    if record.state is BuildState.PUBLIC and not staged:
        raise NotNow(f"{record.id} is public already: it was released at {record.released_at} by {record.released_by}.")
    if record.state in (BuildState.RECORDED, BuildState.PUBLISHING):
        raise NotNow(f"{record.id} is still being published: release it when `broadside status {record.id}` says staged.")
    if record.state is BuildState.REFUSED:
        raise NotNow(f"{record.id} was refused and cannot be released: {record.reason}")
    if not staged:
        raise NotNow(
            f"{record.id} is staged in no Region: see `broadside status {record.id}`, then `broadside retry {record.id}`."
        )
    return staged


def plan(record: BuildRecord, publications: list[Publication], staged: list[str]) -> list[str]:
    """What a release does, in words."""
    left = {
        state: sorted(each.region for each in publications if each.state is state)
        for state in (PublicationState.FAILED, PublicationState.SKIPPED)
    }
    lines = [f"{record.id} becomes public in {plural(len(staged), 'Region')}: {', '.join(staged)}"]
    lines += [f"Not in {len(regions)} ({state}): {', '.join(regions)}" for state, regions in left.items() if regions]
    return lines
