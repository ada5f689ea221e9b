"""Carrying a rollout through its steps: what :mod:`chalicelib.rollout.steps` decides, done to the index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from chalicelib import policy
from chalicelib.errors import BroadsideError, Claimed, NotReleasable
from chalicelib.index.records import (
    BuildRecord,
    BuildState,
    Kind,
    Publication,
    PublicationState,
    Rollout,
    RolloutState,
)
from chalicelib.index.table import Index
from chalicelib.index.transitions import PRIVATE
from chalicelib.names import BuildId
from chalicelib.rollout import outcome, steps
from chalicelib.rollout.steps import Do

#: States of a build that was never verified, or is never to come back.
NOT_RELEASABLE = frozenset({BuildState.RECORDED, BuildState.REFUSED, BuildState.WITHDRAWN})

#: Seconds between two looks whether the public files have followed.
LOOK_AGAIN = 5

#: Asks a wave's gate: whether all is well, and if not, why.
Ask = Callable[[Rollout], tuple[bool, str]]
#: The AMIs that the public files of a stream name.
Named = Callable[[str], set[str]]

#: Whether all files of a build are where the download stream names them.
Exposed = Callable[[BuildRecord], bool]


@dataclass(frozen=True)
class Driver:
    """Drives rollouts.

    Args:
        clock: the time, aware.
        sleep: waits for some seconds, for the minute's last ones only.
    """

    index: Index
    named: Named
    ask: Ask
    exposed: Exposed
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep

    def begin(self, wanted: Rollout) -> Rollout:
        """Record the rollout and claim its builds, all or none.

        Returns:
            the rollout; one that was REFUSED says why.
        """
        stored = self.index.begin_rollout(wanted)
        if stored.state in steps.ENDED:
            return stored
        claimed: list[BuildId] = []
        try:
            for build in stored.builds:
                self._check(stored, build)
                self.index.claim(build, stored.title)
                claimed.append(build)
        except (Claimed, NotReleasable) as error:
            for build in claimed:
                self.index.free(build, stored.title)
            refusal = str(error)
            return self.index.change_rollout(
                stored.name, lambda each: replace(each, state=RolloutState.REFUSED, reason=refusal)
            )
        for build in stored.builds:
            self.index.note(build, f"{stored.title} begins", stored.by, stored.reason)
        return stored

    def _check(self, rollout: Rollout, build: BuildId) -> None:
        record = self.index.build(build)
        if record is None:
            raise NotReleasable(f"There is no build {build} in the index: upload it first.")
        if rollout.kind is Kind.WITHDRAWAL:
            return
        if record.state in NOT_RELEASABLE or not self.index.publications(build):
            raise NotReleasable(f"The build {build} is {record.state}: {record.reason or 'wait for it'}")

    def proceed(self, name: str, done: str = "") -> dict[str, Any]:
        """Take the rollout to its next step.

        Args:
            done: the step that the state machine has carried out: ``open``, ``close`` or ``hold``; empty after a wait.

        Returns:
            ``do``, the step's name; ``seconds`` to wait, ``items`` (a build in a Region) or ``files`` to go through.
        """
        self._report(name, done)
        while True:
            rollout, step = self._next(name)
            if step.do is Do.ASK:
                healthy, why = self.ask(rollout)
                self._change(name, lambda each: steps.judged(each, healthy, why, self.clock()))  # noqa: B023 - called at once
            elif step.do is Do.TAKE_BACK and self._forgotten(rollout):
                self._change(name, lambda each: steps.taken_back(each, self.clock()))
            else:
                return self._answer(rollout, step)

    def _report(self, name: str, done: str) -> None:
        if done == Do.OPEN:
            self._open_downloads(self._change(name, lambda each: steps.opened(each, self.clock())))
        elif done == Do.HOLD:
            self._change(name, lambda each: replace(each, token=""))
        elif done == Do.CLOSE:
            left = {each["region"] for each in self._to_close(self._change(name, lambda each: each))}
            self._change(name, lambda each: steps.closed(each, left))

    def _next(self, name: str) -> tuple[Rollout, steps.Step]:
        decided: list[steps.Step] = []

        def change(rollout: Rollout) -> Rollout:
            after, step = steps.following(rollout, self.clock())
            decided.append(step)
            return after

        return self._change(name, change), decided[-1]

    def _change(self, name: str, change: Callable[[Rollout], Rollout]) -> Rollout:
        return self.index.change_rollout(name, change)

    def _answer(self, rollout: Rollout, step: steps.Step) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "do": step.do,
            "seconds": step.seconds,
            "items": [],
            "files": [],
            "builds": [{"build": str(build), "digest": self._record(build).digest} for build in rollout.builds],
            "state": rollout.state,
            "reason": rollout.reason or "It has come to its end.",
        }
        if step.do is Do.OPEN:
            self.sleep(steps.seconds_left(rollout, self.clock()))
            answer |= {"items": list(self._open(rollout)), "files": list(self._files(rollout))}
        elif step.do is Do.TAKE_BACK:
            answer |= {"do": Do.WAIT, "seconds": LOOK_AGAIN}
        elif step.do is Do.CLOSE:
            answer |= {"items": list(self._to_close(rollout))}
        elif step.do is Do.END:
            self._end(rollout)
        return answer

    # Opening

    def _open(self, rollout: Rollout) -> Iterator[dict[str, str]]:
        """Say that the wave's turn has come; what is staged goes public now, and what is staged later by itself."""
        wave = rollout.waves[rollout.wave]
        for build in rollout.builds:
            record = self.index.set_build(build, released_by=rollout.by)
            for publication in self._in(build, wave.regions):
                opened = self.index.open_region(build, publication.region)
                if opened.state is PublicationState.STAGED:
                    yield _item(record, opened)
            self.index.note(build, f"{rollout.title}: the wave {wave.name} opens", rollout.by)

    def _files(self, rollout: Rollout) -> Iterator[dict[str, str]]:
        """Files become downloadable with the first wave."""
        for build in rollout.builds if rollout.wave == 0 else ():
            record = self._record(build)
            for file in record.files if not record.downloads_at else ():
                yield {"build": str(build), "digest": record.digest, "file": file.path}

    def _open_downloads(self, rollout: Rollout) -> None:
        """From now on the download stream may name the files, if all of a build's are there."""
        for build in rollout.builds:
            record = self._record(build)
            if not record.downloads_at and self.exposed(record):
                self.index.set_build(build, downloads=True)

    # Taking back

    def _forgotten(self, rollout: Rollout) -> bool:
        """Take the publications back, and look whether readers and caches have forgotten them."""
        taken = {}
        for build in rollout.builds:
            self._take_back(rollout, build)
            taken[build] = {each.image_id for each in self._in(build, steps.regions_to_take_back(rollout)) if each.image_id}
        if any(self.named(build.stream) & ids for build, ids in taken.items()):
            return False
        longest = max(policy.for_stream(build.stream).cache_seconds for build in rollout.builds)
        return self.index.seconds_since(rollout.since) >= longest

    def _take_back(self, rollout: Rollout, build: BuildId) -> None:
        withdrawn = rollout.kind is Kind.WITHDRAWAL
        to = PublicationState.WITHDRAWN if withdrawn else PublicationState.STAGED
        before = self._in(build, steps.regions_to_take_back(rollout))
        after = [self.index.take_back(build, each.region, to, rollout.reason) for each in before]
        if after != before:
            self.index.note(build, f"{rollout.title}: taken back", rollout.by, rollout.reason)
        state = outcome.build_state(self.index.publications(build), released=False)
        downloads = None if state is BuildState.PUBLIC else False
        self.index.set_build(build, state=state, reason=rollout.reason if withdrawn else "", downloads=downloads)

    def _to_close(self, rollout: Rollout) -> Iterator[dict[str, str]]:
        for build in rollout.builds:
            record = self._record(build)
            for publication in self._in(build, steps.regions_to_take_back(rollout)):
                if publication.image_id and PRIVATE not in publication.times:
                    yield _item(record, publication)

    # The end

    def _end(self, rollout: Rollout) -> None:
        for build in rollout.builds:
            self.index.free(build, rollout.title)
            self.index.note(build, f"{rollout.title} is {rollout.state}", rollout.by, rollout.reason)

    def steer(self, name: str, wish: str) -> Rollout:
        """Pause, continue or abort a rollout, as a person wishes.

        What has not begun is aborted at once; what is under way, at its next step.
        """

        def change(rollout: Rollout) -> Rollout:
            if rollout.state in steps.ENDED:
                raise NotReleasable(
                    f"The {rollout.title} is {rollout.state} already: {rollout.reason or 'it has come to its end'}"
                )
            if rollout.kind is Kind.WITHDRAWAL:
                raise NotReleasable(f"The {rollout.title} cannot be held up: what is taken back is taken back.")
            if wish == "continue":
                return steps.continued(rollout, self.clock())
            wished = replace(rollout, wish=wish)
            return steps.following(wished, self.clock())[0] if rollout.state is not RolloutState.RUNNING else wished

        after = self._change(name, change)
        if after.state in steps.ENDED:
            self._end(after)
        return after

    def _in(self, build: BuildId, regions: tuple[str, ...]) -> list[Publication]:
        return [each for each in self.index.publications(build) if each.region in regions]

    def _record(self, build: BuildId) -> BuildRecord:
        record = self.index.build(build)
        if record is None:
            raise BroadsideError(f"The build {build} is not in the index any more.")
        return record


def _item(record: BuildRecord, publication: Publication) -> dict[str, str]:
    return {"build": str(record.id), "digest": record.digest, "region": publication.region}
