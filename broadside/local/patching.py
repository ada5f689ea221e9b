"""Putting something in the place of moto's own, which type checkers rightly do not like to see."""

from __future__ import annotations

from typing import Any


def replace(owner: Any, **replacements: Any) -> None:
    """Set attributes of a class or module that exist already.

    Raises:
        AttributeError: moto has no such attribute: it was another version that this was written for.
    """
    for name, replacement in replacements.items():
        getattr(owner, name)
        setattr(owner, name, replacement)
