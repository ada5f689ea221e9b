"""The policy of each stream, from ``policy.toml`` beside this module."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class StreamPolicy(BaseModel):
    """What follows when a build of the stream is staged; ``policy.toml`` explains the choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    release: Literal["at-once", "held"] = "held"
    strategy: Literal["direct", "copy"] = "direct"
    zero_blocks: Literal["write", "skip"] = "write"
    parameter: str = Field(default="", pattern=r"^$|^/.*\{serial\}")
    protect: bool = False
    cache_seconds: int = Field(default=60, ge=0)
    deprecate_days: int | None = Field(default=None, ge=1, le=730)


class Policies(BaseModel):
    """The whole file: a stream that is not named gets the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: StreamPolicy = StreamPolicy()
    streams: dict[str, StreamPolicy] = Field(default_factory=dict)

    def for_stream(self, stream: str) -> StreamPolicy:
        return self.streams.get(stream, self.default)


@lru_cache(maxsize=1)
def _policies() -> Policies:
    text = Path(__file__).with_name("policy.toml").read_text(encoding="utf-8")
    return Policies.model_validate(tomllib.loads(text))


def for_stream(stream: str) -> StreamPolicy:
    """The policy of ``stream``."""
    return _policies().for_stream(stream)
