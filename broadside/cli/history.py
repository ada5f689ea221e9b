"""``broadside history``: what was done with a build, by whom, and why."""

from __future__ import annotations

from dataclasses import asdict

import click

from broadside.cli.builds import recorded
from broadside.cli.common import App, make_console, make_table, print_json


@click.command(
    epilog="""\b
Examples:
  broadside history released/20261120
  broadside history released/20261120 --json
"""
)
@click.argument("build")
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.pass_obj
def history(app: App, build: str, as_document: bool) -> None:
    """Show what was done with BUILD: releases, their waves, and withdrawals."""
    events = app.index.history(recorded(app.index, build).id)
    if as_document:
        print_json([asdict(each) | {"build": str(each.build)} for each in events])
        return
    rows = [[each.at, each.what, each.by, each.reason] for each in events]
    make_console().print(make_table(["TIME", "WHAT", "BY", "REASON"], rows, wrap=["REASON"]))
