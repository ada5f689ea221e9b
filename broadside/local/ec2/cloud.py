"""The state of EC2 in all Regions, and one call to it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broadside.local.behaviour import Behaviour
from broadside.local.ebs.store import Snapshot
from broadside.local.ec2 import errors
from broadside.local.ec2.model import Image, ImportTask, UsageReport
from broadside.local.ec2.validation import check_image_id, check_snapshot_id
from broadside.local.world import World


@dataclass(frozen=True)
class Call:
    """One request: where it went, whose it is, and its parameters under the API's own names."""

    region: str
    account_id: str
    parameters: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        value = self.parameters.get(name)
        return default if value is None else value

    def need(self, name: str) -> Any:
        """A parameter that the action requires.

        Raises:
            Ec2Error: MissingParameter.
        """
        value = self.parameters.get(name)
        if value is None or value == "":
            raise errors.missing(name)
        return value


class Cloud:
    """Images, import tasks, settings and client tokens; snapshots are the world's.

    Whoever reads or changes more than one value holds :attr:`lock`.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = world.clock
        self.snapshots = world.snapshots
        self.lock = world.snapshots.lock
        self.import_lock = threading.Lock()
        self.images: defaultdict[str, dict[str, Image]] = defaultdict(dict)
        self.imports: defaultdict[str, dict[str, ImportTask]] = defaultdict(dict)
        self.reports: defaultdict[str, dict[str, UsageReport]] = defaultdict(dict)
        #: What callers set, by Region; elsewhere the behaviour says.
        self.image_block: dict[str, str] = {}
        self.snapshot_block: dict[str, str] = {}
        self._deregistered: set[str] = set()
        #: (account, Region, action, token) to what was asked and the response that it got.
        self._tokens: dict[tuple[str, str, str, str], tuple[Mapping[str, Any], dict[str, Any]]] = {}

    @property
    def behaviour(self) -> Behaviour:
        return self.world.behaviour

    def image_block_state(self, region: str) -> str:
        """Image block public access in the Region: ``block-new-sharing`` or ``unblocked``."""
        blocked = region in self.behaviour.block_public_access
        return self.image_block.get(region, "block-new-sharing" if blocked else "unblocked")

    # Time

    def now(self) -> float:
        return self.clock.now()

    def snapshot_state(self, snapshot: Snapshot) -> str:
        return snapshot.state(self.clock.now(), self.clock.wall())

    def visible(self, thing: Image | Snapshot) -> bool:
        """Whether the news of it has come around: EC2 is eventually consistent."""
        return self.now() >= thing.created + self.behaviour.visibility_seconds

    # Looking up

    def image(self, call: Call, image_id: str) -> Image:
        """An image that the caller can see.

        Raises:
            Ec2Error: InvalidAMIID.Malformed, .NotFound, or .Unavailable for one that was deregistered.
        """
        check_image_id(image_id)
        if image_id in self._deregistered:
            raise errors.gone_image(image_id)
        image = self.images[call.region].get(image_id)
        if image is None or not self.visible(image) or not image.usable_by(call.account_id):
            raise errors.unknown_image(image_id)
        return image

    def own_image(self, call: Call, image_id: str) -> Image:
        """An image of the caller's own.

        Raises:
            Ec2Error: as :meth:`image`; AuthFailure for another account's.
        """
        image = self.image(call, image_id)
        if image.owner_id != call.account_id:
            raise errors.not_your_image(image_id)
        return image

    def snapshot(self, call: Call, snapshot_id: str) -> Snapshot:
        """A snapshot that the caller may create volumes from.

        Raises:
            Ec2Error: InvalidSnapshotID.Malformed, InvalidSnapshot.NotFound.
        """
        check_snapshot_id(snapshot_id)
        snapshot = self.snapshots.get(call.region, snapshot_id)
        if snapshot is None or not self.visible(snapshot) or not snapshot.readable_by(call.account_id):
            raise errors.unknown_snapshot(snapshot_id)
        return snapshot

    def own_snapshot(self, call: Call, snapshot_id: str) -> Snapshot:
        """A snapshot of the caller's own.

        Raises:
            Ec2Error: as :meth:`snapshot`; AuthFailure for another account's.
        """
        snapshot = self.snapshot(call, snapshot_id)
        if snapshot.owner_id != call.account_id:
            raise errors.not_your_snapshot(snapshot_id)
        return snapshot

    def using(self, snapshot: Snapshot) -> list[Image]:
        """The images that the snapshot backs."""
        return [image for image in self.images[snapshot.region].values() if snapshot.snapshot_id in image.snapshot_ids]

    # Changing

    def add(self, image: Image) -> Image:
        self.images[image.region][image.image_id] = image
        return image

    def remove(self, image: Image) -> None:
        del self.images[image.region][image.image_id]
        self._deregistered.add(image.image_id)

    def once(self, call: Call, action: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do it once per client token: the same request again gets the first one's response.

        Raises:
            Ec2Error: IdempotentParameterMismatch, when other parameters came with the token before.
        """
        token = call.get("ClientToken")
        if token is None:
            return do()
        if len(token) > 64 or not token.isascii():
            raise errors.invalid_value(f"Invalid client token {token!r}: at most 64 ASCII characters.")
        key = (call.account_id, call.region, action, token)
        if key not in self._tokens:
            self._tokens[key] = (call.parameters, do())
        asked, response = self._tokens[key]
        if asked != call.parameters:
            raise errors.token_mismatch()
        return response
