"""What a function is told by its environment, checked before its body runs.

The template sets these variables from the stack's own resources; none of them is a secret (``SIGNING_SECRET`` is the
secret's ARN, and only the signing function has it).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.errors import SetupWrong


@dataclass(frozen=True)
class Settings:
    """The environment of one function.  A property that the function was not given raises :class:`SetupWrong`."""

    environment: Mapping[str, str]

    @classmethod
    def from_environment(cls) -> Settings:
        return cls(os.environ)

    def _get(self, name: str) -> str:
        value = self.environment.get(name, "")
        if not value:
            raise SetupWrong(f"The function's environment has no {name}: deploy the stack's template again.")
        return value

    @property
    def region(self) -> str:
        """The home Region: where the stack, its buckets and its index are."""
        return self._get("AWS_REGION")

    @property
    def builds_bucket(self) -> str:
        return self._get("BUILDS_BUCKET")

    @property
    def public_bucket(self) -> str:
        return self._get("PUBLIC_BUCKET")

    @property
    def work_bucket(self) -> str:
        """Private: the builders' keyring, block digests."""
        return self._get("WORK_BUCKET")

    @property
    def index_table(self) -> str:
        return self._get("INDEX_TABLE")

    @property
    def publish_state_machine(self) -> str:
        """The ARN of the publish state machine."""
        return self._get("PUBLISH_STATE_MACHINE")

    @property
    def signing_secret(self) -> str:
        """The ARN of the secret ``{"private_key": armored, "passphrase": text}`` in Secrets Manager."""
        return self._get("SIGNING_SECRET")
