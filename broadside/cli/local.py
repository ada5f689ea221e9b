"""``broadside local``: the embedded cloud."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from broadside.cli.common import free_port
from broadside.local import behaviour as behaviours
from broadside.local.behaviour import BadBehaviour
from broadside.local.options import CHECKOUT, USER_KEY, USER_SECRET, Options
from broadside.local.server import NotOurs, run, state_folder
from broadside.local.stack.template import BadTemplate


@click.group()
def local() -> None:
    """Run the embedded cloud on this machine."""


@local.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, callback=free_port, help="Port on loopback; 0 takes a free one."
)
@click.option("--state", type=click.Path(file_okay=False), help="Folder for blocks, objects and logs; by default a new one.")
@click.option("--behaviour", help="A profile (default, aws) or a YAML file: durations, quotas, throttles, faults.")
@click.option("--functions-endpoint", metavar="URL", help="Where the functions find AWS, when a proxy is to stand between.")
@click.option("--template", type=click.Path(exists=True, path_type=Path), help="Deploy this template (JSON) instead.")
@click.option("--code", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder with app.py.")
@click.option("--with-parent/--on-its-own", default=False, help="Whether to end when the process that started it is gone.")
def up(  # noqa: PLR0917 - click passes them by name
    port: int,
    state: str | None,
    behaviour: str | None,
    functions_endpoint: str | None,
    template: Path | None,
    code: Path | None,
    with_parent: bool,
) -> None:
    """Start the embedded cloud and deploy the project to it.

    When it is ready, one line of JSON says where everything is.  It runs until Ctrl-C, and every start begins empty: a state
    folder that you name keeps logs for you to read, not state to go on from.
    """
    try:
        options = Options(
            behaviour=behaviours.load(behaviour),
            state=state_folder(state),
            port=port,
            functions_endpoint=functions_endpoint,
            template=template,
            code=code.resolve() if code else CHECKOUT,
            with_parent=with_parent,
        )
    except BadBehaviour as error:
        raise click.BadParameter(str(error), param_hint="--behaviour") from error
    except NotOurs as error:
        raise click.BadParameter(str(error), param_hint="--state") from error
    try:
        run(options, _announce)
    except BadTemplate as error:
        raise click.ClickException(str(error)) from error
    finally:
        if state is None:
            shutil.rmtree(options.state, ignore_errors=True)


def _announce(ready: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


@local.command()
@click.argument("endpoint")
@click.option("--region", default="us-east-1", show_default=True, help="The home Region.")
def env(endpoint: str, region: str) -> None:
    """Print the shell lines that point AWS programs at ENDPOINT.

    For example: eval "$(broadside local env http://127.0.0.1:4566)"
    """
    values = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": USER_KEY,
        "AWS_SECRET_ACCESS_KEY": USER_SECRET,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
    }
    for name, value in values.items():
        click.echo(f"export {name}={value}")
    click.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")
