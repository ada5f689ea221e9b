"""``broadside retry``: try again where the publication of a build failed."""

from __future__ import annotations

import click

from broadside.cli.builds import Executions, NotNow, publish_names, recorded
from broadside.cli.common import App, client, make_console, plural
from broadside.cli.progress import View, watch
from chalicelib.index.records import BuildState


@click.command(
    epilog="""\b
Examples:
  broadside retry daily/20261120
  broadside retry com.example.cloud:server:24.04:amd64/daily/20261120 --wait
"""
)
@click.argument("build")
@click.option("--wait", is_flag=True, help="Show the progress until it is done; the exit code is 1 when a Region failed.")
@click.pass_obj
def retry(app: App, build: str, wait: bool) -> None:
    """Try BUILD again in the Regions where it failed; the others are left as they are.

    BUILD is PRODUCT/STREAM/SERIAL, or the end of it where only one build has it.
    """
    index = app.index
    record = recorded(index, build)
    executions = Executions(client(app.session, "stepfunctions"), app.stack.publish_state_machine)
    name, running = executions.first_open(publish_names(record))
    view = View(record.id, record, tuple(index.publications(record.id)), None)
    check(view, running)
    executions.start(name, {"build": str(record.id), "digest": record.digest, "files": [file.path for file in record.files]})
    what = f"{plural(len(view.failed), 'failed Region')} ({', '.join(view.failed)})" if view.failed else "what is left to do"
    click.echo(f"{record.id}: trying {what} again: {executions.arn(name)}")
    if wait:
        watched = watch(app.stack, app.session, record.id, make_console(), busy=lambda: executions.is_running(name))
        raise click.exceptions.Exit(watched)


def check(view: View, running: bool) -> None:
    """Let pass what a retry can help: a failed Region, a failed build, or one that nobody works on any more.

    Raises:
        NotNow: it is being worked on, it was refused, or nothing failed.
    """
    if running:
        raise NotNow(f"{view.id} is still being published: wait with `broadside status {view.id}`.")
    if view.record is not None and view.record.state is BuildState.REFUSED:
        raise NotNow(f"{view.id} was refused: upload it corrected. {view.record.reason}")
    if view.settled and view.exit_code == 0:
        raise NotNow(f"Nothing of {view.id} failed: there is nothing to try again.")
