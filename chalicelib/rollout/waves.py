"""Which Regions go public together: from a wave file, and the Regions in which builds are staged.  No I/O.

A wave file, as YAML has it::

    undo: wave                  # what goes back when a gate fails: the wave, all waves, or nothing
    waves:
      - name: canary
        regions: [eu-north-1]   # names, or patterns such as eu-*
        bake: 30m               # to be watched for so long
        gate: {alarm: web-errors}
      - name: half
        share: 50%              # of all Regions, those of former waves counted
        gate: approval
      - name: rest
        regions: ["*"]          # what no former wave has
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from chalicelib.errors import BadWaves
from chalicelib.index.records import Gate, Wave

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    match = re.fullmatch(r"(\d{1,6})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration such as 30m, 2h or 1d")
    return int(match[1]) * _UNITS[match[2]]


def _percent(value: object) -> object:
    match = re.fullmatch(r"(\d{1,3})%", value) if isinstance(value, str) else None
    if match is None or not 1 <= int(match[1]) <= 100:
        raise ValueError("must be a share such as 25%")
    return int(match[1])


def _gate(value: object) -> object:
    if value in ("none", "approval"):
        return {"kind": value}
    if isinstance(value, Mapping) and len(value) == 1:
        [(kind, target)] = value.items()
        if kind in ("alarm", "function") and isinstance(target, str) and target:
            return {"kind": kind, "target": target}
    raise ValueError("must be none, approval, {alarm: NAME} or {function: ARN}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GateSpec(_Part):
    kind: str = "none"
    target: str = ""


class WaveSpec(_Part):
    """One wave as the file has it: by names and patterns of Regions, or by their share."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    regions: tuple[str, ...] = ()
    share: Annotated[int | None, BeforeValidator(_percent)] = None
    bake: Annotated[int, BeforeValidator(_seconds)] = 0
    gate: Annotated[GateSpec, BeforeValidator(_gate)] = GateSpec()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.regions) == (self.share is not None):
            raise ValueError("names either regions or a share")
        return self


class Plan(_Part):
    """A whole wave file."""

    undo: Literal["wave", "all", "nothing"] = "wave"
    waves: tuple[WaveSpec, ...] = Field(min_length=1, max_length=50)

    @classmethod
    def parse(cls, value: Any, where: str = "the wave file") -> Plan:
        """Check what YAML has made of a wave file.

        Raises:
            BadWaves: it is not one; the sentence says where.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(str(part) for part in fault["loc"]) or "the whole"
            raise BadWaves(f"{where}: {place}: {fault['msg'].removeprefix('Value error, ')}.") from error

    def assign(self, regions: Collection[str], home: str) -> tuple[Wave, ...]:
        """Give each Region to the first wave that names it; a wave that none is left for is left out.

        A share takes Regions in alphabetical order, the home Region last: who looks after the release lives there.

        Raises:
            BadWaves: some Regions are in no wave.
        """
        left = sorted(regions, key=lambda region: (region == home, region))
        total, made = len(left), []
        for spec in self.waves:
            taken = _taken(spec, left, total)
            left = [region for region in left if region not in taken]
            if taken:
                made.append(Wave(spec.name, tuple(sorted(taken)), spec.bake, Gate(spec.gate.kind, spec.gate.target)))
        if left:
            raise BadWaves(f'No wave has {", ".join(left)}: end the wave file with a wave for the Regions ["*"].')
        return tuple(made)


def _taken(spec: WaveSpec, left: list[str], total: int) -> list[str]:
    if spec.share is None:
        return [region for region in left if any(fnmatchcase(region, pattern) for pattern in spec.regions)]
    wanted = -(-total * spec.share // 100) - (total - len(left))
    return left[: max(0, wanted)]


#: Everything in one moment.
AT_ONCE = Plan.parse({"waves": [{"name": "all", "regions": ["*"]}]})
#: One Region first, and half an hour to look at it.
CANARY = Plan.parse({"waves": [{"name": "canary", "share": "1%", "bake": "30m"}, {"name": "rest", "regions": ["*"]}]})
