"""What an embedded cloud is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broadside.local.behaviour import Behaviour

#: Where ``app.py`` and ``chalicelib`` are.
CHECKOUT = Path(__file__).resolve().parents[2]

#: Credentials for people's programs; any would do, since the cloud is on loopback.
USER_KEY, USER_SECRET = "AKIABROADSIDELOCAL00", "broadside-local"


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    behaviour: Behaviour
    state: Path
    port: int = 0
    #: The address that functions are given instead of the server's own, so that a proxy can stand between.
    functions_endpoint: str | None = None
    #: A SAM or CloudFormation template (JSON) to be deployed instead of the project's own.
    template: Path | None = None
    #: The folder with ``app.py``.
    code: Path = CHECKOUT
    stack: str = "broadside"
    #: Whether to end when the process that started this one is gone.
    with_parent: bool = False
