"""moto's EBS responses, answered by our service: moto parses the call and serialises the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore import xform_name
from moto.core.responses import ActionResult
from moto.ebs.responses import EBSResponse

from broadside.local.ebs.service import EbsService

_Action = Callable[[EbsService, str, str, dict[str, Any]], dict[str, Any]]


def patch(service: EbsService) -> None:
    """Let moto's EBS endpoints answer with ``service``."""
    for name, action in _ACTIONS.items():
        setattr(EBSResponse, name, _method(service, action))


def _method(service: EbsService, action: _Action) -> Callable[[Any], ActionResult]:
    def method(response: Any) -> ActionResult:
        parameters = {xform_name(key): value for key, value in (response.uri_match | response.params).items()}
        return ActionResult(action(service, response.region, response.current_account, parameters))

    return method


def _start(service: EbsService, region: str, account_id: str, given: dict[str, Any]) -> dict[str, Any]:
    return service.start_snapshot(region, account_id, **given)


def _complete(service: EbsService, region: str, account_id: str, given: dict[str, Any]) -> dict[str, Any]:
    return service.complete_snapshot(region, account_id, **given)


def _list_blocks(service: EbsService, region: str, account_id: str, given: dict[str, Any]) -> dict[str, Any]:
    return service.list_snapshot_blocks(region, account_id, **given)


def _list_changed(service: EbsService, region: str, account_id: str, given: dict[str, Any]) -> dict[str, Any]:
    return service.list_changed_blocks(region, account_id, **given)


def _put(service: EbsService, region: str, account_id: str, given: dict[str, Any]) -> dict[str, Any]:
    checksum = service.put_snapshot_block(
        region,
        account_id,
        given["snapshot_id"],
        given["block_index"],
        given["block_data"],
        checksum=given.get("checksum"),
        checksum_algorithm=given.get("checksum_algorithm"),
        data_length=given.get("data_length"),
    )
    return {"Checksum": checksum, "ChecksumAlgorithm": "SHA256"}


def _get(service: EbsService, region: str, account_id: str, given: dict[str, Any]) -> dict[str, Any]:
    token = given.get("block_token", "")
    block = service.get_snapshot_block(region, account_id, given["snapshot_id"], given["block_index"], token)
    return {
        "DataLength": len(block.data),
        "BlockData": block.data,
        "Checksum": block.checksum,
        "ChecksumAlgorithm": "SHA256",
    }


_ACTIONS: dict[str, _Action] = {
    "start_snapshot": _start,
    "put_snapshot_block": _put,
    "complete_snapshot": _complete,
    "get_snapshot_block": _get,
    "list_snapshot_blocks": _list_blocks,
    "list_changed_blocks": _list_changed,
}
