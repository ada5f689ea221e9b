"""``broadside status``: how builds stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from broadside.cli.builds import Executions, Work, resolve_upload, under_way
from broadside.cli.common import App, ExitCode, client, make_console, make_table, print_json
from broadside.cli.progress import (
    BUILD_STYLES,
    View,
    as_json,
    conclusion,
    counts,
    headline,
    look,
    region_table,
    watch,
)
from chalicelib.index.records import BuildRecord, Publication, PublicationState, Upload, UploadState

if TYPE_CHECKING:  # slow to import, and here only for the annotation
    from chalicelib.index.table import Index

__all__ = ["status", "watch"]


@click.command(
    epilog="""\b
Examples:
  broadside status
  broadside status daily/20261120
  broadside status com.example.cloud:server:24.04:amd64/released/20261120 --once --json
"""
)
@click.argument("build", required=False)
@click.option("--once", is_flag=True, help="Show how BUILD stands now instead of waiting for it to come to rest.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many builds to list.")
@click.option("--json", "as_document", is_flag=True, help="One JSON document, of how it stands now.")
@click.pass_obj
def status(app: App, build: str | None, once: bool, limit: int, as_document: bool) -> None:
    """Show how builds stand, or one BUILD Region by Region until it has come to rest.

    BUILD is PRODUCT/STREAM/SERIAL, or the end of it where only one build has it.  The exit code is 1 when BUILD was
    refused, or failed in a Region.
    """
    if build is None:
        listing = Listing.read(app.index, limit)
        print_json(listing.as_json()) if as_document else listing.show()
        return
    build_id = resolve_upload(app.index, build)
    view = look(app.index, build_id)
    work = _work(app, view)
    if as_document:
        print_json({**as_json(view), "settled": view.settled and work is None})
        raise click.exceptions.Exit(_exit_code(view))
    console = make_console()
    if work is not None:
        console.print(f"{work.what} is under way.")
    if not once:
        busy = work.goes_on if work else lambda: False
        raise click.exceptions.Exit(watch(app.stack, app.session, build_id, console, busy=busy))
    console.print(headline(view))
    if view.publications:
        console.print(region_table(view))
    for text in conclusion(view) if work is None else []:
        console.print(text)
    raise click.exceptions.Exit(_exit_code(view))


def _work(app: App, view: View) -> Work | None:
    """What was started for a build that seems to be at rest, and does not show in the index yet."""
    if view.record is None or not view.settled:
        return None
    publish = Executions(client(app.session, "stepfunctions"), app.stack.publish_state_machine)
    return under_way(app.index, view.record, publish)


def _exit_code(view: View) -> ExitCode:
    return view.exit_code if view.record or view.upload else ExitCode.FAILED


@dataclass(frozen=True)
class Listing:
    """The newest builds with their publications, and the uploads that became no build."""

    builds: list[tuple[BuildRecord, list[Publication]]]
    uploads: list[Upload]

    @classmethod
    def read(cls, index: Index, limit: int) -> Listing:
        """Read the ``limit`` builds and uploads that were last changed.

        Raises:
            CloudError: the index could not be read.
        """
        builds = sorted(_builds(index), key=lambda each: each[0].updated, reverse=True)
        stuck = [upload for upload in index.uploads() if upload.state is not UploadState.ACCEPTED]
        return cls(builds[:limit], sorted(stuck, key=lambda each: each.updated, reverse=True)[:limit])

    def show(self) -> None:
        console = make_console()
        if not self.builds and not self.uploads:
            console.print("No build yet: `broadside upload` brings the first one.")
        if self.builds:
            console.print(make_table(["BUILD", "STATE", "PUBLIC", "STAGED", "FAILED", "OTHER", "UPDATED"], self._rows()))
        if self.uploads:
            console.print("\nUploads that became no build:" if self.builds else "Uploads that became no build:")
            rows = [(each.key, str(each.state), each.updated, each.reason) for each in self.uploads]
            console.print(make_table(["MANIFEST", "STATE", "UPDATED", "REASON"], rows, wrap=["REASON"]))

    def _rows(self) -> Iterator[list[Any]]:
        shown = (PublicationState.PUBLIC, PublicationState.STAGED, PublicationState.FAILED)
        for record, publications in self.builds:
            numbers = counts(publications)
            other = len(publications) - sum(numbers.get(state, 0) for state in shown)
            yield [
                str(record.id),
                Text(str(record.state), BUILD_STYLES[record.state]),
                *(str(numbers.get(state, 0) or "-") for state in shown),
                str(other or "-"),
                record.updated,
            ]

    def as_json(self) -> dict[str, Any]:
        return {
            "builds": [
                {
                    "build": str(record.id),
                    "state": str(record.state),
                    "reason": record.reason,
                    "regions": counts(publications),
                    "created": record.created,
                    "updated": record.updated,
                }
                for record, publications in self.builds
            ],
            "uploads": [
                {"key": each.key, "state": str(each.state), "reason": each.reason, "updated": each.updated}
                for each in self.uploads
            ],
        }


def _builds(index: Index) -> Iterator[tuple[BuildRecord, list[Publication]]]:
    for stream in index.streams():
        records, publications = index.stream(stream)
        for record in records:
            yield record, [each for each in publications if each.build == record.id]
