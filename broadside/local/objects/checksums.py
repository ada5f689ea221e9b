"""S3's checksums, which moto takes on trust: what arrives is compared with them, and uploads in parts show theirs.

Source: "Checking object integrity in Amazon S3" in the S3 user guide; ListParts, CompleteMultipartUpload and the error codes
in its API reference.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from moto.core.responses import ActionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.responses import S3Response
from moto.s3.utils import compute_checksum

from broadside.local.patching import replace

#: The algorithms that moto computes itself; for the others it would need libraries that may not be there.
COMPUTED = ("CRC32", "SHA1", "SHA256")


class BadDigest(S3ClientError):
    """What arrived is not what the uploader says it sent."""

    def __init__(self, name: str) -> None:
        super().__init__("BadDigest", f"The {name} you specified did not match what we received.")


def install() -> None:
    """Check what is uploaded, and show what is known of uploads in parts."""
    put_object, upload_part, head_object = S3Response.put_object, S3Response.upload_part, S3Response.head_object
    post, serialized = S3Response._key_response_post, S3Response.serialized

    def checked_put_object(self: Any) -> Any:
        _check_body(self)
        return put_object(self)

    def checked_upload_part(self: Any) -> Any:
        _check_body(self)
        status, headers, body = upload_part(self)
        algorithm = algorithm_of(_upload(self))
        if algorithm:
            headers[f"x-amz-checksum-{algorithm.lower()}"] = compute_checksum(self.body or b"", algorithm).decode()
        return status, headers, body

    def head_with_number_of_parts(self: Any, bucket_name: str, query: Any, key_name: str, headers: Any) -> Any:
        """A composite checksum says of how many parts it is, here as in GetObject."""
        status, answered, body = head_object(self, bucket_name, query, key_name, headers)
        made = self.backend.get_object(bucket_name, key_name, version_id=query.get("versionId", [None])[0])
        if made is not None and made.checksum_type == "COMPOSITE":
            name = f"x-amz-checksum-{made.checksum_algorithm.lower()}"
            answered |= {name: f"{made.checksum_value}-{made.checksum_parts}"} if name in answered else {}
        return status, answered, body

    def key_response_post(self: Any, request: Any, body: bytes, *where: Any) -> Any:
        upload = _upload(self)
        if upload is not None:
            upload.claimed_checksum = _sent(self, algorithm_of(upload))
        return post(self, request, body, *where)

    def serialized_with_checksums(self: Any, result: ActionResult) -> Any:
        show = {"ListParts": _of_parts, "CompleteMultipartUpload": _of_object}.get(self.data.get("Action", ""))
        if show is not None and isinstance(result.result, dict):
            result = ActionResult(result.result | show(self, result.result))
        return serialized(self, result)

    replace(
        S3Response,
        put_object=checked_put_object,
        upload_part=checked_upload_part,
        head_object=head_with_number_of_parts,
        _key_response_post=key_response_post,
        serialized=serialized_with_checksums,
    )


def algorithm_of(upload: Any) -> str:
    """What the creator of an upload in parts chose; empty for nothing."""
    return str(upload.metadata.get("x-amz-checksum-algorithm") or "")


def composite(upload: Any, parts: list[Any]) -> tuple[str, str, int] | None:
    """The checksum of the parts' checksums, if one was chosen; one over the whole object is not computed here.

    Raises:
        BadDigest: the uploader completes the upload with another.
    """
    algorithm = algorithm_of(upload)
    if not algorithm or upload.metadata.get("x-amz-checksum-type") == "FULL_OBJECT":
        return None
    digests = b"".join(compute_checksum(part._content[:], algorithm, encode_base64=False) for part in parts)
    checksum = compute_checksum(digests, algorithm).decode()
    claimed = getattr(upload, "claimed_checksum", None)
    if claimed and algorithm in COMPUTED and claimed.partition("-")[0] != checksum:
        raise BadDigest(algorithm)
    return "COMPOSITE", checksum, len(parts)


def _check_body(response: Any) -> None:
    body = response.body or b""
    md5 = response.headers.get("Content-MD5")
    if md5 and md5 != base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode():
        raise BadDigest("Content-MD5")
    for algorithm in COMPUTED:
        sent = _sent(response, algorithm)
        if sent and sent != compute_checksum(body, algorithm).decode():
            raise BadDigest(algorithm)


def _sent(response: Any, algorithm: str) -> str | None:
    value: str | None = response.headers.get(f"x-amz-checksum-{algorithm.lower()}")
    return value


def _upload(response: Any) -> Any:
    """The upload in parts that a request names, if it is under way."""
    return response.backend.get_bucket(response.bucket_name).multiparts.get(response.querystring.get("uploadId", [""])[0])


def _of_parts(response: Any, shown: dict[str, Any]) -> dict[str, Any]:
    upload = _upload(response)
    algorithm = algorithm_of(upload)
    if not algorithm:
        return {}
    parts = [
        part | {f"Checksum{algorithm}": compute_checksum(upload.parts[part["PartNumber"]]._content[:], algorithm).decode()}
        for part in shown["Parts"]
    ]
    return {"ChecksumAlgorithm": algorithm, "ChecksumType": upload.metadata.get("x-amz-checksum-type"), "Parts": parts}


def _of_object(response: Any, shown: dict[str, Any]) -> dict[str, Any]:
    made = response.backend.get_object(response.bucket_name, shown["Key"])
    if made is None or not made.checksum_value:
        return {}
    value = f"{made.checksum_value}-{made.checksum_parts}"
    return {f"Checksum{made.checksum_algorithm}": value, "ChecksumType": made.checksum_type}
