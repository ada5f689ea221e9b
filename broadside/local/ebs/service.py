"""The EBS direct APIs: snapshots written and read block by block.

Source: https://docs.aws.amazon.com/ebs/latest/APIReference/API_Operations_Amazon_Elastic_Block_Store.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from broadside.local.ebs import tokens, validation
from broadside.local.ebs.blocks import BLOCK_SIZE, Content, Sealed
from broadside.local.ebs.errors import (
    AccessDeniedException,
    ConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    invalid,
    unknown_snapshot,
)
from broadside.local.ebs.store import Snapshot, new_id

if TYPE_CHECKING:
    from broadside.local.world import World

PAGE_SIZES = range(100, 10_001)
#: For how long the tokens of a listing hold, in seconds.
TOKEN_LIFETIME = 7 * 24 * 3600


class Paging(TypedDict, total=False):
    """How the two listings are asked for a page."""

    next_token: str
    max_results: int
    starting_block_index: int


@dataclass(frozen=True)
class Block:
    """A block that was read: its bytes and the base64 SHA-256 of them."""

    data: bytes
    checksum: str


class EbsService:
    """All six actions.  Parameters are those of the API reference; each method returns the members of its response."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._snapshots = world.snapshots
        #: What a client token of an account in a Region stood for, and the response that it got.
        self._tokens: dict[tuple[str, str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    # Writing

    def start_snapshot(
        self,
        region: str,
        account_id: str,
        volume_size: int,
        *,
        parent_snapshot_id: str | None = None,
        tags: Sequence[Mapping[str, str]] = (),
        description: str | None = None,
        client_token: str | None = None,
        encrypted: bool | None = None,
        kms_key_arn: str | None = None,
        timeout: int | None = None,
    ) -> dict[str, Any]:
        """Begin a snapshot; the same token with the same parameters gives the first one's response again.

        Raises:
            ValidationException: a size, time-out or combination that is not allowed.
            ResourceNotFoundException: the parent is not there.
            ConflictException: the token came with other parameters before.
            ServiceQuotaExceededException: too many snapshots are pending.
        """
        tagged = {tag["Key"]: tag.get("Value", "") for tag in tags}
        asked = {
            "volume_size": volume_size,
            "parent": parent_snapshot_id,
            "tags": tagged,
            "description": description,
            "encrypted": encrypted,
            "kms_key": kms_key_arn,
            "timeout": timeout,
        }
        with self._snapshots.lock:
            token = (account_id, region, client_token or "")
            if client_token and token in self._tokens:
                before, response = self._tokens[token]
                if before != asked:
                    raise ConflictException("The client token was used before with other parameters.")
                return response
            validation.check_start(volume_size, timeout, parent_snapshot_id, encrypted, kms_key_arn)
            validation.check_words(tagged, description or "", client_token or "")
            parent = self._parent(region, account_id, parent_snapshot_id, volume_size)
            self._check_pending_quota(region, account_id)
            snapshot = Snapshot(
                snapshot_id=new_id("snap"),
                owner_id=account_id,
                region=region,
                volume_size=volume_size,
                content=self._snapshots.content(parent.content if parent else None),
                created=self._world.clock.now(),
                description=description or "",
                tags=dict(tagged),
                encrypted=bool(encrypted) or bool(parent and parent.encrypted),
                kms_key=kms_key_arn or (parent.kms_key if parent else None),
                parent_id=parent_snapshot_id,
                timeout=60 * (timeout or validation.DEFAULT_TIMEOUT),
            )
            self._postpone_deadline(snapshot)
            self._snapshots.add(snapshot)
            response = self._started(snapshot)
            if client_token:
                self._tokens[token] = (asked, response)
            return response

    def put_snapshot_block(
        self,
        region: str,
        account_id: str,
        snapshot_id: str,
        index: int,
        data: bytes,
        *,
        checksum: str | None,
        checksum_algorithm: str | None = "SHA256",
        data_length: int | None = BLOCK_SIZE,
    ) -> str:
        """Write one block, over what may be there, and return its base64 SHA-256.

        Raises:
            ValidationException: length, index or checksum are wrong, or the snapshot takes no more blocks.
            ResourceNotFoundException, AccessDeniedException: not a snapshot of this account.
        """
        snapshot = self._owned(region, account_id, snapshot_id)
        if data_length != BLOCK_SIZE or len(data) != BLOCK_SIZE:
            raise invalid(f"A block has {BLOCK_SIZE} bytes, here are {len(data)} (declared: {data_length}).", "INVALID_BLOCK")
        if not 0 <= index < snapshot.blocks:
            raise invalid(f"The volume has {snapshot.blocks} blocks; there is no block {index}.", "INVALID_BLOCK")
        if checksum_algorithm != "SHA256" or not checksum:
            raise invalid("Give the block's checksum and the algorithm SHA256.")
        digest = hashlib.sha256(data).digest()
        if validation.decoded(checksum) != digest:
            raise invalid(f"The checksum of block {index} does not match its data.", "INVALID_BLOCK")
        self._check_open(snapshot)
        try:
            snapshot.content.put(index, digest, data)
        except Sealed:
            raise _not_pending(snapshot_id) from None
        self._postpone_deadline(snapshot)
        return checksum

    def complete_snapshot(
        self,
        region: str,
        account_id: str,
        snapshot_id: str,
        changed_blocks_count: int,
        *,
        checksum: str | None = None,
        checksum_algorithm: str | None = None,
        checksum_aggregation_method: str | None = None,
    ) -> dict[str, Any]:
        """Seal the snapshot once count and checksum are those of what was written; again, it changes nothing.

        Raises:
            ValidationException: they are not, or the snapshot was given up.
            ResourceNotFoundException, AccessDeniedException: not a snapshot of this account.
        """
        snapshot = self._owned(region, account_id, snapshot_id)
        if checksum is not None and (checksum_algorithm, checksum_aggregation_method) != ("SHA256", "LINEAR"):
            raise invalid("A checksum comes with the algorithm SHA256 and the aggregation method LINEAR.")

        def verify(content: Content) -> None:
            if content.written != changed_blocks_count:
                raise invalid(f"{content.written} blocks were written to {snapshot_id}, not {changed_blocks_count}.")
            if checksum is not None and validation.decoded(checksum) != content.written_checksum():
                raise invalid(f"The checksum is not that of the blocks that were written to {snapshot_id}.")

        with self._snapshots.lock:
            if snapshot.content.sealed:
                verify(snapshot.content)
            else:
                self._check_open(snapshot)
                snapshot.content.seal(verify)
                clock, behaviour = self._world.clock, self._world.behaviour
                snapshot.completes_at = clock.now() + behaviour.snapshot_complete_seconds
        return {"Status": self._state(snapshot)}

    # Reading

    def get_snapshot_block(self, region: str, account_id: str, snapshot_id: str, index: int, token: str) -> Block:
        """Read one block, by the token that a listing gave for it.

        Raises:
            ValidationException: not a token for this block, or the snapshot is not completed.
            ResourceNotFoundException, AccessDeniedException: not a snapshot for this account, or no such block.
        """
        snapshot = self._readable(region, account_id, snapshot_id)
        digest = snapshot.content.digest(index)
        if digest is None:
            raise ResourceNotFoundException(f"The snapshot has no block {index}.", "DEPENDENCY_RESOURCE_NOT_FOUND")
        if token != tokens.block(snapshot_id, index, digest):
            raise invalid(f"This is not the token of block {index} of {snapshot_id}.", "INVALID_BLOCK_TOKEN")
        return Block(snapshot.content.read(digest), base64.b64encode(digest).decode())

    def list_snapshot_blocks(
        self,
        region: str,
        account_id: str,
        snapshot_id: str,
        **paging: Unpack[Paging],
    ) -> dict[str, Any]:
        """List the blocks that are there, in the order of their index.

        Raises:
            ValidationException, ResourceNotFoundException, AccessDeniedException: as above.
        """
        snapshot = self._readable(region, account_id, snapshot_id)
        listed = (
            (index, {"BlockIndex": index, "BlockToken": tokens.block(snapshot_id, index, digest)})
            for index, digest in snapshot.content.blocks().items()
        )
        return self._listing("Blocks", snapshot, listed, **paging)

    def list_changed_blocks(
        self,
        region: str,
        account_id: str,
        second_snapshot_id: str,
        *,
        first_snapshot_id: str | None = None,
        **paging: Unpack[Paging],
    ) -> dict[str, Any]:
        """List the blocks that differ between two snapshots of one lineage.

        Raises:
            ValidationException, ResourceNotFoundException, AccessDeniedException: as above.
        """
        if first_snapshot_id is None:
            raise invalid("FirstSnapshotId and SecondSnapshotId come together.")
        first = self._readable(region, account_id, first_snapshot_id)
        second = self._readable(region, account_id, second_snapshot_id)
        if first.content.lineage is not second.content.lineage:
            raise invalid(f"{first_snapshot_id} and {second_snapshot_id} are not of one lineage.", "UNRELATED_SNAPSHOTS")
        listed = _changed(first, second)
        return self._listing("ChangedBlocks", second, listed, **paging)

    def _listing(
        self,
        key: Literal["Blocks", "ChangedBlocks"],
        snapshot: Snapshot,
        listed: Iterator[tuple[int, dict[str, Any]]],
        **paging: Unpack[Paging],
    ) -> dict[str, Any]:
        """One page of ``listed`` (block index, entry), beginning where the token or the index say."""
        size = paging.get("max_results", PAGE_SIZES[-1])
        if size not in PAGE_SIZES:
            raise invalid(f"MaxResults is {PAGE_SIZES[0]} to {PAGE_SIZES[-1]}, not {size}.")
        start = paging.get("starting_block_index", 0)
        if "next_token" in paging:  # which makes the index not count
            start = tokens.start_of_page(paging["next_token"], snapshot.snapshot_id)
        page: list[dict[str, Any]] = []
        following = None
        for index, entry in listed:
            if index < start:
                continue
            if len(page) == size:
                following = tokens.page(index, snapshot.snapshot_id)
                break
            page.append(entry)
        expiry = self._world.clock.wall() + TOKEN_LIFETIME
        response = {key: page, "ExpiryTime": expiry, "VolumeSize": snapshot.volume_size, "BlockSize": BLOCK_SIZE}
        return response | ({"NextToken": following} if following else {})

    # Looking up

    def _state(self, snapshot: Snapshot) -> str:
        return snapshot.state(self._world.clock.now(), self._world.clock.wall())

    def _owned(self, region: str, account_id: str, snapshot_id: str) -> Snapshot:
        snapshot = self._snapshots.get(region, snapshot_id)
        if snapshot is None:
            raise unknown_snapshot(snapshot_id)
        if snapshot.owner_id != account_id:
            raise AccessDeniedException(f"The snapshot {snapshot_id} is another account's.", "UNAUTHORIZED_ACCOUNT")
        return snapshot

    def _readable(self, region: str, account_id: str, snapshot_id: str) -> Snapshot:
        snapshot = self._snapshots.get(region, snapshot_id)
        if snapshot is None:
            raise unknown_snapshot(snapshot_id)
        if not snapshot.readable_by(account_id):
            raise AccessDeniedException(f"The snapshot {snapshot_id} is not shared with you.", "UNAUTHORIZED_ACCOUNT")
        if self._state(snapshot) != "completed":
            raise invalid(f"The snapshot {snapshot_id} is not completed.", "INVALID_SNAPSHOT_ID")
        return snapshot

    def _check_open(self, snapshot: Snapshot) -> None:
        if snapshot.completes_at is not None or self._state(snapshot) != "pending":
            raise _not_pending(snapshot.snapshot_id)

    def _parent(self, region: str, account_id: str, snapshot_id: str | None, volume_size: int) -> Snapshot | None:
        if snapshot_id is None:
            return None
        parent = self._readable(region, account_id, snapshot_id)
        if parent.owner_id != account_id:
            raise AccessDeniedException(f"The parent {snapshot_id} is another account's.", "UNAUTHORIZED_ACCOUNT")
        if volume_size < parent.volume_size:
            raise invalid(f"The volume is smaller than its parent's {parent.volume_size} GiB.", "INVALID_VOLUME_SIZE")
        return parent

    def _check_pending_quota(self, region: str, account_id: str) -> None:
        mine = [snapshot for snapshot in self._snapshots.in_region(region) if snapshot.owner_id == account_id]
        pending = sum(self._state(snapshot) == "pending" for snapshot in mine)
        if pending >= self._world.behaviour.pending_snapshots_quota:
            raise ServiceQuotaExceededException(
                f"{pending} snapshots are pending in {region}: that is the quota.", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"
            )

    def _postpone_deadline(self, snapshot: Snapshot) -> None:
        # The wall clock's: it is the client that has to keep it, and the client's work goes at its own speed.
        snapshot.deadline = self._world.clock.wall() + snapshot.timeout

    def _started(self, snapshot: Snapshot) -> dict[str, Any]:
        response = {
            "SnapshotId": snapshot.snapshot_id,
            "OwnerId": snapshot.owner_id,
            "Status": "pending",
            "StartTime": self._world.clock.date(snapshot.created),
            "VolumeSize": snapshot.volume_size,
            "BlockSize": BLOCK_SIZE,
            "Description": snapshot.description or None,
            "ParentSnapshotId": snapshot.parent_id,
            "KmsKeyArn": snapshot.kms_key,
            "Tags": [{"Key": key, "Value": value} for key, value in snapshot.tags.items()] or None,
        }
        return {key: value for key, value in response.items() if value is not None}


def _changed(first: Snapshot, second: Snapshot) -> Iterator[tuple[int, dict[str, Any]]]:
    before, after = first.content.blocks(), second.content.blocks()
    for index in sorted(before.keys() | after.keys()):
        old, new = before.get(index), after.get(index)
        if old == new:
            continue
        entry: dict[str, Any] = {"BlockIndex": index}
        if old is not None:
            entry["FirstBlockToken"] = tokens.block(first.snapshot_id, index, old)
        if new is not None:
            entry["SecondBlockToken"] = tokens.block(second.snapshot_id, index, new)
        yield index, entry


def _not_pending(snapshot_id: str) -> Exception:
    return invalid(f"The snapshot {snapshot_id} is not pending: it takes no more blocks.", "INVALID_SNAPSHOT_ID")
