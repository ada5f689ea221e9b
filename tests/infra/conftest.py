from __future__ import annotations

from typing import Any

import pytest

from broadside.packaging import build_template
from tests.infra.stack import Stack


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """The template as it is packaged."""
    return build_template()


@pytest.fixture(scope="session")
def stack(template: dict[str, Any]) -> Stack:
    return Stack(template)
