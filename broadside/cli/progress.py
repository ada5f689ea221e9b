"""How one build stands, Region by Region: as values, as tables and lines, and live until it has come to rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from broadside.cli.common import ExitCode, Stack, make_table, open_index
from chalicelib.errors import CloudBusy
from chalicelib.index.records import BuildRecord, BuildState, Method, Publication, PublicationState, Upload, UploadState
from chalicelib.names import MANIFEST_NAME, BuildId

if TYPE_CHECKING:  # slow to import, and here only for the annotations
    from boto3.session import Session

    from broadside.cli.written import Written
    from chalicelib.index.table import Index

#: Seconds between two looks at the index.
INTERVAL = 2.0

#: A publication in one of these states moves on by itself.
MOVING = frozenset({PublicationState.PLANNED, PublicationState.WRITING, PublicationState.REGISTERED})
AT_REST = frozenset({BuildState.STAGED, BuildState.PUBLIC, BuildState.WITHDRAWN, BuildState.FAILED, BuildState.REFUSED})

STYLES = {
    PublicationState.PLANNED: "dim",
    PublicationState.WRITING: "yellow",
    PublicationState.REGISTERED: "yellow",
    PublicationState.STAGED: "cyan",
    PublicationState.PUBLIC: "green",
    PublicationState.WITHDRAWN: "red",
    PublicationState.FAILED: "bold red",
    PublicationState.SKIPPED: "dim",
}
BUILD_STYLES = {
    BuildState.RECORDED: "dim",
    BuildState.PUBLISHING: "yellow",
    BuildState.STAGED: "cyan",
    BuildState.PUBLIC: "green",
    BuildState.FAILED: "bold red",
    BuildState.WITHDRAWN: "red",
    BuildState.REFUSED: "bold red",
}


@dataclass(frozen=True)
class View:
    """What the index says of one build at one moment; ``upload`` is the manifest it came, or did not come, from."""

    id: BuildId
    record: BuildRecord | None
    publications: tuple[Publication, ...]
    upload: Upload | None
    #: The version of the manifest that was asked about; until it is looked at, everything else is about an older one.
    version_id: str | None = None
    #: The Region that blocks are sent from.
    home: str = ""

    @property
    def refusal(self) -> str:
        """Why the upload was refused; empty when it was not."""
        return self.upload.reason if self.upload is not None and self.upload.state is UploadState.REFUSED else ""

    @property
    def settled(self) -> bool:
        """Whether nothing more happens without somebody's help."""
        if self.refusal:
            return True
        if self.version_id is not None and (self.upload is None or self.upload.state is UploadState.WAITING):
            return False
        if self.record is None or self.record.state not in AT_REST:
            return False
        return self.record.state is BuildState.REFUSED or not any(_is_moving(each) for each in self.publications)

    @property
    def failed(self) -> list[str]:
        """The Regions that failed."""
        return [each.region for each in self.publications if each.state is PublicationState.FAILED]

    @property
    def written(self) -> Written | None:
        """What was written in all Regions together; None before there is anything."""
        if not any(each.blocks for each in self.publications):
            return None
        from broadside.cli.written import written  # noqa: PLC0415 - imports pydantic

        return written(self.id, self.publications, self.home)

    @property
    def exit_code(self) -> ExitCode:
        """OK when the build is, or may still come to be, where it should be in every Region."""
        wrong = self.refusal or self.failed or (self.record and self.record.state in (BuildState.FAILED, BuildState.REFUSED))
        return ExitCode.FAILED if wrong else ExitCode.OK


def _is_moving(publication: Publication) -> bool:
    """Whether it goes on by itself: one that is staged does once its turn to go public has come."""
    return publication.state in MOVING or (publication.state is PublicationState.STAGED and bool(publication.released_at))


def look(index: Index, build: BuildId, version_id: str | None = None) -> View:
    """Read how ``build`` stands.

    With ``version_id`` the upload is that version of the manifest, else the newest; an older one's refusal does not
    count once there is a build.

    Raises:
        CloudError: the index could not be read.
    """
    upload = index.upload(f"{build.folder}/{MANIFEST_NAME}", version_id)
    record = index.build(build)
    if record is None and upload is None and version_id is None:  # it may lie in another folder
        upload = next((each for each in index.uploads() if each.build == str(build)), None)
    if record is not None and version_id is None and record.state is not BuildState.REFUSED:
        upload = None
    publications = tuple(index.publications(build)) if record else ()
    return View(build, record, publications, upload, version_id, home=index.client.region)


# --- As tables and lines -------------------------------------------------------------------------------------------


def counts(publications: tuple[Publication, ...] | list[Publication]) -> dict[str, int]:
    """How many Regions are in each state, in the order of the states' life; states without a Region are left out."""
    found = Counter(each.state for each in publications)
    return {str(state): found[state] for state in PublicationState if found[state]}


def headline(view: View) -> Text:
    """One line: the build, its state, and how many Regions are where."""
    if view.record is None:
        waits = (view.upload.reason if view.upload else "") or "waiting for its manifest to be looked at"
        return Text.assemble((str(view.id), "bold"), "  ", ("refused", "bold red") if view.refusal else (waits, "dim"))
    state = view.record.state
    numbers = ", ".join(f"{count} {name}" for name, count in counts(view.publications).items())
    return Text.assemble((str(view.id), "bold"), "  ", (str(state), BUILD_STYLES[state]), f"  {numbers}" if numbers else "")


def conclusion(view: View) -> list[Text]:
    """What to tell at the end: why something is not as it should be, and what to do."""
    if view.refusal:
        return [Text(f"Refused: {view.refusal}", "bold red")]
    record = view.record
    if record is None:
        return []
    told = [Text(record.reason, "bold red")] if record.reason else []
    if (total := view.written) is not None:
        told.append(Text(total.sentence))
    if record.state is BuildState.STAGED:
        told.append(Text(f"Held, private everywhere: `broadside release {view.id}` makes it public."))
    if view.failed:
        told.append(Text(f"`broadside retry {view.id}` tries the failed Regions again."))
    return told


def region_table(view: View) -> RenderableType:
    """A row for each Region: state, AMI, how long it took, how it came to its snapshot; below, why some failed.

    The last two columns are there once a Region has something to show in them.
    """
    publications = sorted(view.publications, key=lambda each: each.region)
    columns: dict[str, Callable[[Publication], Any]] = {
        "REGION": lambda each: each.region,
        "STATE": lambda each: Text(str(each.state), STYLES[each.state]),
        "AMI": lambda each: each.image_id or "-",
        "TIME": duration,
    }
    if any(how_written(each) for each in publications):
        columns["BLOCKS WRITTEN"] = how_written
    if any(each.parent for each in publications):
        columns["ON TOP OF"] = lambda each: each.parent.serial if each.parent else ""
    table = make_table(list(columns), [[cell(each) for cell in columns.values()] for each in publications])
    reasons = [
        Text(f"{each.region}: {each.reason.removeprefix(f'{each.region}: ')}", "red") for each in publications if each.reason
    ]
    return Group(table, *reasons)


def how_written(publication: Publication) -> str:
    """``820 of 16384, 5.0%``, or ``copied``; empty before it is known."""
    if publication.method is Method.COPY:
        return "copied"
    if not publication.blocks:
        return ""
    return f"{publication.blocks_written} of {publication.blocks}, {publication.blocks_written / publication.blocks:.1%}"


def region_grid(view: View) -> RenderableType:
    """All Regions in little room: names coloured by their state."""
    cells = [
        Text.assemble((f"{mark(each.state)} {each.region}", STYLES[each.state]))
        for each in sorted(view.publications, key=lambda each: each.region)
    ]
    return Columns(cells, padding=(0, 2), equal=True, column_first=True)


def mark(state: PublicationState) -> str:
    """One character for a state, so that it can be told without colours."""
    return {"public": "●", "staged": "◐", "failed": "✗", "skipped": "-"}.get(state, "◔" if state != "planned" else "○")


def duration(publication: Publication) -> str:
    """From the plan to where the publication is now at rest; empty while it moves, or where it was never to go."""
    if publication.state in {PublicationState.SKIPPED, *MOVING} or not publication.times:
        return ""
    start, end = min(publication.times.values()), publication.times.get(publication.state, publication.updated)
    seconds = int((_instant(end) - _instant(start)).total_seconds())
    return f"{seconds // 60}m{seconds % 60:02}s" if seconds >= 60 else f"{seconds}s"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def changes(before: View | None, after: View) -> Iterator[str]:
    """A line for each thing that is new, for logs: the Region or the build, its state, and what belongs to it."""
    known = {each.region: each.state for each in before.publications} if before else {}
    for each in sorted(after.publications, key=lambda each: each.region):
        if known.get(each.region) != each.state:
            yield " ".join(part for part in (each.region, str(each.state), each.image_id, each.reason) if part)
    if before is None or _state(before) != _state(after):
        yield headline(after).plain


def numbers(before: View | None, after: View) -> Iterator[str]:
    """A line when the numbers of the Regions, or the build's state, are new."""
    if before is None or headline(before).plain != headline(after).plain:
        yield headline(after).plain


def _state(view: View) -> str:
    """What a log calls news of the build as a whole: not that the numbers of its Regions changed."""
    return str(view.record.state) if view.record else headline(view).plain


# --- As JSON -------------------------------------------------------------------------------------------------------


def as_json(view: View) -> dict[str, Any]:
    """The build and its publications for programs (see docs/commands.md)."""
    record = view.record
    total = view.written
    return {
        "build": str(view.id),
        "state": str(record.state) if record else None,
        "reason": view.refusal or (record.reason if record else ""),
        "digest": record.digest if record else None,
        "signer": record.signer if record else None,
        "created": record.created if record else None,
        "updated": record.updated if record else None,
        "released_at": record.released_at or None if record else None,
        "released_by": record.released_by or None if record else None,
        "settled": view.settled,
        "written": total.as_json() if total else None,
        "upload": {"key": view.upload.key, "state": str(view.upload.state), "reason": view.upload.reason}
        if view.upload
        else None,
        "regions": [
            {
                "region": each.region,
                "state": str(each.state),
                "image_id": each.image_id or None,
                "snapshot_id": each.snapshot_id or None,
                "method": str(each.method) if each.method else None,
                "parent": {"serial": each.parent.serial, "snapshot_id": each.parent.snapshot_id} if each.parent else None,
                "blocks_written": each.blocks_written if each.blocks else None,
                "blocks": each.blocks or None,
                "reason": each.reason,
                "times": dict(each.times),
            }
            for each in sorted(view.publications, key=lambda each: each.region)
        ],
    }


# --- Live ----------------------------------------------------------------------------------------------------------


def watch(
    stack: Stack,
    session: Session,
    build_id: BuildId,
    console: Console,
    *,
    version_id: str | None = None,
    busy: Callable[[], bool] = lambda: False,
    brief: bool = False,
    interval: float = INTERVAL,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show the build's progress until it has come to rest: redrawn on a terminal, a line for each change elsewhere.

    Args:
        version_id: of the manifest that was just uploaded; its refusal ends the watch even when there is a build.
        busy: says that something was started whose effect the index may not show yet.
        brief: in little room on the terminal, and gone at the end; elsewhere only the numbers.

    Returns:
        the exit code for the shell.

    Raises:
        CloudError: the index could not be read for as long as clients try.
    """
    index = open_index(stack, session)
    seen = views(lambda: look(index, build_id, version_id), busy, lambda: sleep(interval))
    last = _show_live(console, seen, brief=brief) if console.is_terminal else _show_lines(console, seen, brief=brief)
    for text in conclusion(last):
        console.print(text)
    return last.exit_code


def views(read: Callable[[], View], busy: Callable[[], bool], pause: Callable[[], None]) -> Iterator[View]:
    """How the build stands, again and again, until it has settled and nothing is ``busy`` with it."""
    while True:
        still = busy()  # asked before the index is read: what ended before then is in it
        try:
            view = read()
        except CloudBusy:
            pause()  # a watch of hours outlives a minute without an answer; boto3 has tried four times by now
            view = read()
        yield view
        if view.settled and not still:
            return
        pause()


def _show_lines(console: Console, seen: Iterator[View], *, brief: bool) -> View:
    """A line for each change, and in the end one about the whole."""
    before: View | None = None
    line = ""
    for view in seen:
        for line in numbers(before, view) if brief else changes(before, view):
            _log(console, line)
        before = view
    assert before is not None  # noqa: S101 - for the type checker: there is always a first view
    if line != headline(before).plain:
        _log(console, headline(before).plain)
    return before


def _log(console: Console, line: str) -> None:
    console.print(f"{datetime.now(UTC):%H:%M:%S} {line}")


def _show_live(console: Console, seen: Iterator[View], *, brief: bool) -> View:
    with Live(console=console, auto_refresh=False, transient=brief) as live:
        for view in seen:
            fits = not brief and len(view.publications) + len(view.failed) + 3 < console.height
            table = region_table(view) if fits else region_grid(view)
            live.update(Group(headline(view), table) if view.publications else headline(view), refresh=True)
    return view
