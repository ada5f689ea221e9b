"""``broadside withdraw``: take builds back."""

from __future__ import annotations

import click

from broadside.cli.builds import NotNow, recorded
from broadside.cli.common import App, client, make_console, plural
from broadside.cli.rollouts import Request, Rollouts, wait_for
from chalicelib.index.records import Kind, PublicationState, Wave
from chalicelib.index.transitions import PRIVATE

#: States of a publication that there is nothing to take back of.
NOTHING = frozenset({PublicationState.SKIPPED})


@click.command(
    epilog="""\b
Examples:
  broadside withdraw released/20261120 --reason "boots into a shell without a password" --wait
  broadside withdraw daily/20261120 --regions eu-west-1 --reason "wrong kernel" --dry-run
"""
)
@click.argument("builds", nargs=-1, required=True, metavar="BUILD...")
@click.option("--reason", required=True, help="Why; it stays in the index.")
@click.option("--regions", metavar="NAME,...", help="Only there; everywhere unless given.")
@click.option("--name", help="What to call the withdrawal; the day and a count unless given.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken back, and do nothing.")
@click.option("--wait", is_flag=True, help="Show the progress to the end.")
@click.pass_obj
def withdraw(
    app: App, /, *, builds: tuple[str, ...], reason: str, regions: str | None, name: str | None, dry_run: bool, wait: bool
) -> None:
    """Take builds back: out of the query files first, then parameters and permissions.  Their AMIs are kept, private.

    Readers then find the build before.  A build that is withdrawn does not come back: upload another one.
    """
    index = app.index
    records = [recorded(index, text) for text in builds]
    asked = None if regions is None else {each.strip() for each in regions.split(",")}
    there = {
        each.region
        for record in records
        for each in index.publications(record.id)
        if each.state not in NOTHING and PRIVATE not in each.times
    }
    if asked is not None and (unknown := sorted(asked - there)):
        raise NotNow(f"There is nothing to take back in {', '.join(unknown)}.")
    wanted = tuple(sorted(there if asked is None else asked))
    if not wanted:
        raise NotNow("There is nothing to take back.")
    for record in records:
        click.echo(f"{record.id} is taken back in {plural(len(wanted), 'Region')}: {', '.join(wanted)}")
    if dry_run:
        return
    rollouts = Rollouts.of(app)
    request = Request(
        name=name or rollouts.next_name(),
        kind=Kind.WITHDRAWAL,
        builds=tuple(record.id for record in records),
        waves=(Wave("all", wanted),),
        by=str(client(app.session, "sts").get_caller_identity()["Arn"]),
        reason=reason,
    )
    click.echo(f"The withdrawal {request.name} is started: {rollouts.begin(request)}")
    if wait:
        raise click.exceptions.Exit(wait_for(app, request.name, make_console()))
