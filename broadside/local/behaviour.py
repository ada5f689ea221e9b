"""How the embedded cloud behaves: Regions, durations, quotas, throttles and faults, read strictly from YAML.

All durations are the seconds that AWS would take; the cloud's clock divides them by ``time_scale``.  The defaults are the
profile ``default``; further profiles are the YAML files in ``profiles/``.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PROFILES = Path(__file__).with_name("profiles")

Seconds = Annotated[float, Field(ge=0)]

#: DescribeRegions' own values.  A call in a Region that is ``not-opted-in`` is refused.
OptIn = Literal["opt-in-not-required", "opted-in", "not-opted-in"]

_ALWAYS_ON = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
]
_OPTED_IN = [
    "af-south-1",
    "ap-east-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "mx-central-1",
]
_NOT_OPTED_IN = ["ap-east-2", "ap-southeast-6", "me-south-1"]


class BadBehaviour(Exception):
    """A behaviour file is not what it should be; the message says where."""


class Strict(BaseModel):
    """A value that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RegionSpec(Strict):
    """One Region and whether the account has opted into it."""

    name: str
    opt_in: OptIn = "opt-in-not-required"

    @property
    def enabled(self) -> bool:
        return self.opt_in != "not-opted-in"


class Throttle(Strict):
    """A token bucket for one action (or ``*``) of one service, one bucket per Region."""

    service: str
    action: str = "*"
    region: str = "*"
    bucket: float = Field(ge=1)
    #: Tokens that come back per second.
    refill: float = Field(ge=0)


class FaultKind(StrEnum):
    """What happens to a call; the ``apply-then`` kinds happen after the call took effect."""

    FAIL = "fail"  # the error ``code`` with ``status``
    APPLY_THEN_FAIL = "apply-then-fail"
    DROP = "drop"  # the connection closes without an answer
    APPLY_THEN_DROP = "apply-then-drop"
    TIMEOUT = "timeout"  # no answer for ``seconds``, then the connection closes
    KILL = "kill"  # the worker process of the calling function dies
    APPLY_THEN_KILL = "apply-then-kill"

    @property
    def applies(self) -> bool:
        """Whether the call takes effect first."""
        return self.value.startswith("apply-then")


class Fault(Strict):
    """Something that goes wrong with calls that match ``service``, ``action``, ``region`` and ``caller`` (``*`` globs).

    ``nth`` counts the matching calls from 1; with ``probability`` instead, the behaviour's seed decides; with neither every
    matching call is hit.  At most ``times`` calls are hit (for ``nth`` the calls from the n-th on).
    """

    service: str = "*"
    action: str = "*"
    region: str = "*"
    #: The function's name, or ``user`` for everybody outside.
    caller: str = "*"
    #: Only calls that change something, or only calls that do not.
    mutating: bool | None = None
    nth: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    times: int | None = Field(default=None, ge=1)
    kind: FaultKind = FaultKind.FAIL
    code: str = "InternalError"
    status: int = Field(default=500, ge=400, le=599)
    message: str = "The embedded cloud was told to fail this call."
    #: For ``timeout``: real seconds before the connection closes.
    seconds: Seconds = 60

    @model_validator(mode="after")
    def _one_trigger(self) -> Fault:
        if self.nth is not None and self.probability is not None:
            raise ValueError("a fault has nth or probability, not both")
        return self

    @property
    def limit(self) -> int | None:
        """How many calls are hit at most: an n-th call is one call unless ``times`` says more."""
        return 1 if self.nth is not None and self.times is None else self.times


class Events(Strict):
    """How events are delivered: AWS promises at least once, in any order, and loses some best-effort ones."""

    #: How often each event is delivered.
    duplicate: int = Field(default=1, ge=1)
    #: Before an event is delivered.
    delay_seconds: Seconds = 0
    #: Up to so much is added to each delivery's delay, by the seed: events overtake one another.
    shuffle_seconds: Seconds = 0
    #: The share of S3 events that never arrive.
    lost: float = Field(default=0, ge=0, le=1)


class ImageUse(Strict):
    """Something that still uses an image: ``count`` things of another ``account``, or one of our own, by its ``arn``."""

    #: The image's id, or its name, with ``*`` globs.
    image: str
    region: str = "*"
    type: Literal[
        "ec2:Instance", "ec2:LaunchTemplate", "imagebuilder:ContainerRecipe", "imagebuilder:ImageRecipe", "ssm:Parameter"
    ] = "ec2:Instance"
    #: Told by usage reports.
    account: str = Field(default="", pattern=r"^(\d{12})?$")
    count: int = Field(default=1, ge=1)
    #: Told as a reference.
    arn: str = ""

    @model_validator(mode="after")
    def _one_user(self) -> ImageUse:
        if bool(self.account) is bool(self.arn):
            raise ValueError("an image is used by an account or by an arn")
        return self


class Behaviour(Strict):
    """All that can be set.  The defaults are quick and forgiving; the profile ``aws`` is as slow and as tight as AWS."""

    regions: tuple[RegionSpec, ...] = (
        *(RegionSpec(name=name) for name in _ALWAYS_ON),
        *(RegionSpec(name=name, opt_in="opted-in") for name in _OPTED_IN),
        *(RegionSpec(name=name, opt_in="not-opted-in") for name in _NOT_OPTED_IN),
    )
    home: str = "us-east-1"
    #: How many of AWS's seconds go by in a real one.
    time_scale: float = Field(default=10, gt=0)
    seed: int = 1

    copy_seconds: Seconds = 20
    #: Regions into which a copy takes another time.
    copy_seconds_into: dict[str, Seconds] = Field(default_factory=dict)
    import_seconds: Seconds = 30
    register_seconds: Seconds = 5
    snapshot_complete_seconds: Seconds = 5
    #: How long a just-created AMI or snapshot may be unknown to the next call.
    visibility_seconds: Seconds = 1

    public_images_quota: int = Field(default=1000, ge=0)
    concurrent_copies_quota: int = Field(default=300, ge=0)
    pending_snapshots_quota: int = Field(default=100, ge=0)

    #: How long Parameter Store takes to check an image's id.
    parameter_seconds: Seconds = 2
    parameters_quota: int = Field(default=10_000, ge=0)
    #: Regions in which the first call for a parameter is refused: nobody has used Parameter Store there yet.
    first_parameter_refused: tuple[str, ...] = ()

    #: Who uses images, besides those that can be seen.
    images_in_use: tuple[ImageUse, ...] = ()
    #: How long a report of an image's use takes.
    usage_report_seconds: Seconds = 5
    #: Regions in which such a report ends in the state ``error``.
    failing_usage_reports: tuple[str, ...] = ()

    #: Regions in which image block public access is on.
    block_public_access: tuple[str, ...] = ()
    #: Regions into which a copy ends in the state ``failed``.
    failing_copies: tuple[str, ...] = ()

    #: Real seconds added to calls, by ``service:Action`` with ``*`` globs, such as ``ec2:Describe*``; the first match counts.
    latency: dict[str, Seconds] = Field(default_factory=dict)
    throttles: tuple[Throttle, ...] = ()
    faults: tuple[Fault, ...] = ()
    events: Events = Events()
    #: Whether each function is held to the policy of its role.
    enforce_iam: bool = True

    @model_validator(mode="after")
    def _regions_make_sense(self) -> Behaviour:
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise ValueError("a Region is named twice")
        if not any(region.name == self.home and region.enabled for region in self.regions):
            raise ValueError(f"the home Region {self.home} is not among the enabled Regions")
        return self

    def copy_time(self, region: str) -> float:
        """How long a copy into a Region takes."""
        return self.copy_seconds_into.get(region, self.copy_seconds)

    def region(self, name: str) -> RegionSpec | None:
        """The Region of that name, or None when this cloud does not have it."""
        return next((region for region in self.regions if region.name == name), None)


def parse(values: Any, where: str = "the behaviour") -> Behaviour:
    """Check ``values`` (parsed YAML or JSON); a key ``profile`` names the profile that they change.

    Raises:
        BadBehaviour: something is not known or not allowed; the message names the place.
    """
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise BadBehaviour(f"{where} is not a mapping of settings.")
    values = dict(values)
    profile = values.pop("profile", "default")
    try:
        return Behaviour.model_validate(_profile(str(profile)) | values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise BadBehaviour(f"{where}: {place}: {first['msg']}.") from error


def load(source: str | None) -> Behaviour:
    """Read a behaviour: None for the default, the name of a profile, or the path of a YAML file.

    Raises:
        BadBehaviour: there is no such file or profile, or its content is not right.
    """
    if source is None:
        return Behaviour()
    path = Path(source)
    if not path.suffix and not path.exists():
        return parse({"profile": source})
    try:
        return parse(yaml.safe_load(path.read_text()), str(path))
    except OSError as error:
        raise BadBehaviour(f"The behaviour file {source} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise BadBehaviour(f"The behaviour file {source} is not YAML: {' '.join(str(error).split())}.") from error


def _profile(name: str) -> dict[str, Any]:
    if name == "default":
        return {}
    known = {path.stem: path for path in PROFILES.glob("*.yaml")}
    if name not in known:
        raise BadBehaviour(f"There is no profile {name!r}: there are default, {', '.join(sorted(known))}.")
    values: dict[str, Any] = yaml.safe_load(known[name].read_text())
    return values
