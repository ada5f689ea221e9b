"""The public bucket as a test sees it: what is in it, and a moment before and after every write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib import aws

BUCKET = "public"


class Bucket:
    """An S3 client that can be watched and interrupted.

    ``puts`` are the keys written so far; ``before_put`` and ``after_put`` are called with the key at each of them, and may
    raise: the publisher dies there.
    """

    def __init__(self, client: aws.Client) -> None:
        self.client = client
        self.puts: list[str] = []
        self.gets: list[str] = []
        self.before_put: Callable[[str], object] = lambda _: None
        self.after_put: Callable[[str], object] = lambda _: None

    def put_object(self, **parameters: Any) -> Any:
        self.before_put(parameters["Key"])
        answer = self.client.put_object(**parameters)
        self.puts.append(parameters["Key"])
        self.after_put(parameters["Key"])
        return answer

    def get_object(self, **parameters: Any) -> Any:
        self.gets.append(parameters["Key"])
        return self.client.get_object(**parameters)

    def head_object(self, **parameters: Any) -> Any:
        return self.client.head_object(**parameters)

    # What a test asks

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def listing(self) -> list[str]:
        return [item["Key"] for item in self.client.pages("list_objects_v2", "Contents", Bucket=BUCKET)]

    def has(self, key: str) -> bool:
        return key in self.listing()

    def head(self, key: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.head_object(Bucket=BUCKET, Key=key)
        return answer
