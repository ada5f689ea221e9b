"""Buckets and objects: who may read, what a condition guards, and how much is read for a range."""

from __future__ import annotations

import base64
import hashlib
import os
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from broadside.local.cloud import LocalCloud
from broadside.local.objects.heap import Content, Heap

BUCKET, PUBLIC = "broadside-bucket", "broadside-publicbucket"


def status(url: str) -> int:
    """What an unsigned GET is answered."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - loopback
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return str(error.value.response["Error"]["Code"])


def test_everybody_reads_the_public_bucket_and_nobody_the_private_one(bench: LocalCloud) -> None:
    """What is missing is 404 where everybody may list, and 403 where they may not."""
    s3 = bench.client("s3")
    for bucket in (BUCKET, PUBLIC):
        s3.put_object(Bucket=bucket, Key="there", Body=b"x")
    assert status(f"{bench.public_url}/there") == 200
    assert status(f"{bench.public_url}/missing") == 404
    assert status(f"{bench.endpoint}/{BUCKET}/there") == 403
    assert status(f"{bench.endpoint}/{BUCKET}/missing") == 403
    assert status(f"{bench.endpoint}/{BUCKET}?list-type=2") == 403


def test_nobody_writes_without_a_signature(bench: LocalCloud) -> None:
    """A public bucket is public for reading."""
    request = urllib.request.Request(f"{bench.public_url}/graffiti", data=b"x", method="PUT")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10)  # noqa: S310


def test_a_condition_guards_every_kind_of_write(bench: LocalCloud) -> None:
    """PutObject, CopyObject and CompleteMultipartUpload take If-Match and If-None-Match."""
    s3 = bench.client("s3")
    first = s3.put_object(Bucket=BUCKET, Key="guarded", Body=b"1")["ETag"]
    copy = {"Bucket": BUCKET, "Key": "guarded"}
    assert refused(s3.put_object, Bucket=BUCKET, Key="guarded", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    assert refused(s3.put_object, Bucket=BUCKET, Key="guarded", Body=b"2", IfMatch='"other"') == "PreconditionFailed"
    assert refused(s3.put_object, Bucket=BUCKET, Key="never-was", Body=b"2", IfMatch=first) == "NoSuchKey"
    s3.put_object(Bucket=BUCKET, Key="other", Body=b"3")
    there = {"Bucket": BUCKET, "Key": "other"}
    assert refused(s3.copy_object, **there, CopySource=copy, IfNoneMatch="*") == "PreconditionFailed"
    assert refused(s3.copy_object, **there, CopySource=copy, IfMatch=first) == "PreconditionFailed"
    upload = s3.create_multipart_upload(**there)["UploadId"]
    part = s3.upload_part(**there, UploadId=upload, PartNumber=1, Body=b"4")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    complete = {**there, "UploadId": upload, "MultipartUpload": parts}
    assert refused(s3.complete_multipart_upload, **complete, IfNoneMatch="*") == "PreconditionFailed"
    assert refused(s3.complete_multipart_upload, **complete, IfMatch=first) == "PreconditionFailed"
    s3.complete_multipart_upload(**complete)
    assert s3.get_object(**there)["Body"].read() == b"4"


def test_of_many_conditional_writes_one_wins(bench: LocalCloud) -> None:
    """The look and the write are one step."""
    s3 = bench.client("s3")

    def write(number: int) -> bool:
        try:
            s3.put_object(Bucket=BUCKET, Key="race", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(24))) == 1


def test_of_many_conditional_items_one_wins(bench: LocalCloud) -> None:
    """DynamoDB's condition and its write are one step, too."""
    dynamodb = bench.client("dynamodb")

    def write(_number: int) -> bool:
        item = {"pk": {"S": "race"}, "sk": {"S": "race"}}
        try:
            dynamodb.put_item(TableName="broadside-Table", Item=item, ConditionExpression="attribute_not_exists(pk)")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(24))) == 1


def test_large_objects_are_read_and_copied_by_ranges(bench: LocalCloud) -> None:
    """An upload in parts, a range of it, a copy of a version of it, and a copy of a range as a part."""
    s3 = bench.client("s3")
    content = os.urandom(12 << 20)
    large = {"Bucket": BUCKET, "Key": "large"}
    upload = s3.create_multipart_upload(**large, ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), 5 << 20), 1):
        body = content[start : start + (5 << 20)]
        part = s3.upload_part(**large, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    version = s3.complete_multipart_upload(**large, UploadId=upload, MultipartUpload={"Parts": parts})["VersionId"]
    s3.put_object(**large, Body=b"replaced")
    answer = s3.get_object(**large, VersionId=version, Range=f"bytes={(5 << 20) - 3}-{(5 << 20) + 3}")
    assert answer["ContentRange"] == f"bytes {(5 << 20) - 3}-{(5 << 20) + 3}/{12 << 20}"
    assert answer["Body"].read() == content[(5 << 20) - 3 : (5 << 20) + 4]
    assert s3.get_object(**large, VersionId=version)["Body"].read() == content
    source = {**large, "VersionId": version}
    s3.copy_object(Bucket=PUBLIC, Key="copy", CopySource=source)
    assert (
        s3.head_object(Bucket=PUBLIC, Key="copy")["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest()
    )
    assert s3.get_object(Bucket=PUBLIC, Key="copy")["Body"].read() == content
    target = {"Bucket": PUBLIC, "Key": "range"}
    upload = s3.create_multipart_upload(**target)["UploadId"]
    copied = s3.upload_part_copy(**target, UploadId=upload, PartNumber=1, CopySource=source, CopySourceRange="bytes=1-6000000")
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**target)["Body"].read() == content[1:6000001]


def test_all_versions_of_an_object_are_listed(bench: LocalCloud) -> None:
    """The newest first, and marked; this is how a sweep sees what events lost."""
    s3 = bench.client("s3")
    versions = [s3.put_object(Bucket=BUCKET, Key="listed/twice", Body=body)["VersionId"] for body in (b"old", b"new")]
    listed = s3.list_object_versions(Bucket=BUCKET, Prefix="listed/")["Versions"]
    assert [(each["VersionId"], each["IsLatest"]) for each in listed] == [(versions[1], True), (versions[0], False)]


def test_parts_are_checked(bench: LocalCloud) -> None:
    """Their order and their size, as S3 does."""
    s3 = bench.client("s3")
    there = {"Bucket": BUCKET, "Key": "parts"}
    upload = s3.create_multipart_upload(**there)["UploadId"]
    tags = [s3.upload_part(**there, UploadId=upload, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)]
    listed = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    complete = s3.complete_multipart_upload
    assert refused(complete, **there, UploadId=upload, MultipartUpload={"Parts": listed[::-1]}) == "InvalidPartOrder"
    assert refused(complete, **there, UploadId=upload, MultipartUpload={"Parts": listed}) == "EntityTooSmall"
    wrong = [{**listed[0], "ETag": '"0"'}]
    assert refused(complete, **there, UploadId=upload, MultipartUpload={"Parts": wrong}) == "InvalidPart"


def test_what_arrives_is_compared_with_what_the_uploader_says(bench: LocalCloud) -> None:
    """Content-MD5 and checksums, of an object, of a part and of all parts together."""
    s3 = bench.client("s3")
    there = {"Bucket": BUCKET, "Key": "checked"}
    wrong = {"ContentMD5": md5(b"y")}, {"ChecksumSHA256": sha256(b"y")}
    for claim in wrong:
        assert refused(s3.put_object, **there, Body=b"x", **claim) == "BadDigest"
    upload = s3.create_multipart_upload(**there, ChecksumAlgorithm="SHA256")["UploadId"]
    target = {**there, "UploadId": upload}
    for claim in wrong:
        assert refused(s3.upload_part, **target, PartNumber=1, Body=b"x", **claim) == "BadDigest"
    part = s3.upload_part(**target, PartNumber=1, Body=b"x", ChecksumSHA256=sha256(b"x"), ContentMD5=md5(b"x"))
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]}
    complete = s3.complete_multipart_upload
    assert refused(complete, **target, MultipartUpload=parts, ChecksumSHA256=f"{sha256(b'y')}-1") == "BadDigest"


def test_an_upload_in_parts_shows_its_checksums(bench: LocalCloud) -> None:
    """While it is under way, when it is completed, and afterwards: resuming uploaders compare them."""
    s3 = bench.client("s3")
    there = {"Bucket": BUCKET, "Key": "checksums"}
    upload = s3.create_multipart_upload(**there, ChecksumAlgorithm="SHA256")["UploadId"]
    assert s3.list_parts(**there, UploadId=upload)["ChecksumAlgorithm"] == "SHA256"
    part = s3.upload_part(**there, UploadId=upload, PartNumber=1, Body=b"x", ChecksumSHA256=sha256(b"x"))
    [listed] = s3.list_parts(**there, UploadId=upload)["Parts"]
    assert listed["ChecksumSHA256"] == sha256(b"x")
    whole = f"{sha256(hashlib.sha256(b'x').digest())}-1"
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = s3.complete_multipart_upload(**there, UploadId=upload, MultipartUpload=parts, ChecksumSHA256=whole)
    assert done["ChecksumSHA256"] == whole
    assert s3.head_object(**there, ChecksumMode="ENABLED")["ChecksumSHA256"] == whole


def test_only_tags_of_aws_itself_are_refused(bench: LocalCloud) -> None:
    """They begin with "aws:", colon and all."""
    s3 = bench.client("s3")
    there = {"Bucket": BUCKET, "Key": "tagged"}
    s3.put_object(**there, Body=b"x")
    s3.put_object_tagging(**there, Tagging={"TagSet": [{"Key": "awspub:source", "Value": "disk"}]})
    assert s3.get_object_tagging(**there)["TagSet"] == [{"Key": "awspub:source", "Value": "disk"}]
    reserved = {"TagSet": [{"Key": "aws:source", "Value": "disk"}]}
    assert refused(s3.put_object_tagging, **there, Tagging=reserved) == "InvalidTag"


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_content_is_sliced_and_joined_without_copying(tmp_path: Path) -> None:
    """Any range of any join equals the same range of the bytes."""
    heap = Heap(tmp_path / "heap")
    pieces = [os.urandom(size) for size in (0, 1, 1000, 3, 70000)]
    whole = b"".join(pieces)
    content = Content.join(heap, [heap.store(piece) for piece in pieces])
    size = (tmp_path / "heap").stat().st_size
    assert len(content) == len(whole) == size
    for start, stop in ((0, 0), (0, 1), (1, 1001), (1000, 1005), (5, None), (None, None), (70000, 10**9), (-3, None)):
        assert content[start:stop] == whole[start:stop]
    assert content.part(900, 2000).part(50, 10**9)[:] == whole[950:2000]
    assert b"".join(content) == whole
    assert content.md5() == hashlib.md5(whole, usedforsecurity=False).hexdigest()
    heap.close()
