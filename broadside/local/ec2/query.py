"""Filters and pages, as all Describe actions have them.  No state, no I/O.

Filters look at the response itself: each is a path into it.
Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from broadside.local.ec2 import errors

View = dict[str, Any]


def select(views: Sequence[View], filters: Sequence[Mapping[str, Any]], paths: Mapping[str, str]) -> list[View]:
    """The ``views`` that match all ``filters``; ``paths`` says where in a view each filter looks.

    A filter matches when any of its values does; ``*`` and ``?`` are wildcards, a backslash takes their meaning away.
    ``tag:<key>`` and ``tag-key`` look at ``Tags``.

    Raises:
        Ec2Error: InvalidParameterValue for a filter that the action does not have.
    """
    tests = [_test(one, paths) for one in filters]
    return [view for view in views if all(test(view) for test in tests)]


def page(parameters: Mapping[str, Any], key: str, views: Sequence[View], id_key: str, sizes: range) -> View:
    """The response with the page of ``views`` that MaxResults and NextToken ask for, in the order of ``id_key``.

    Raises:
        Ec2Error: InvalidPaginationToken, or InvalidParameterValue for a size that is not among ``sizes``.
    """
    size = parameters.get("MaxResults")
    after = _after(parameters.get("NextToken"))
    rest = sorted((view for view in views if view[id_key] > after), key=lambda view: str(view[id_key]))
    if size is None:
        return {key: rest}
    if size < sizes.start:
        raise errors.invalid_value(
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value of at least {sizes.start}."
        )
    taken = rest[: min(size, sizes.stop - 1)]
    if len(taken) == len(rest):
        return {key: taken}
    return {key: taken, "NextToken": base64.b64encode(f"after:{taken[-1][id_key]}".encode()).decode()}


def present(view: View) -> View:
    """The view without what is not there: EC2 leaves out empty members."""
    return {key: value for key, value in view.items() if value is not None and value != []}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 lists them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _test(one: Mapping[str, Any], paths: Mapping[str, str]) -> Callable[[View], bool]:
    name = one.get("Name", "")
    patterns = [_pattern(value) for value in one.get("Values", [])]
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")

        def texts(view: View) -> Iterator[str]:
            return (tag["Value"] for tag in view.get("Tags", []) if tag["Key"] == key)
    elif name == "tag-key":

        def texts(view: View) -> Iterator[str]:
            return (tag["Key"] for tag in view.get("Tags", []))
    elif name in paths:
        path = paths[name].split(".")

        def texts(view: View) -> Iterator[str]:
            return _texts(view, path)
    else:
        raise errors.invalid_value(f"The filter '{name or 'null'}' is invalid")
    return lambda view: any(pattern.fullmatch(text) for text in texts(view) for pattern in patterns)


def _texts(value: Any, path: Sequence[str]) -> Iterator[str]:
    """All values at the end of ``path``, as EC2 writes them."""
    if value is None:
        return
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, path)
    elif path:
        yield from _texts(value.get(path[0]), path[1:])
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, datetime):
        yield value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    else:
        yield str(value)


def _pattern(value: str) -> re.Pattern[str]:
    parts = []
    characters = iter(value)
    for character in characters:
        if character == "\\":
            parts.append(re.escape(next(characters, "\\")))
        else:
            parts.append({"*": ".*", "?": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


def _after(token: str | None) -> str:
    if token is None:
        return ""
    try:
        mark, _, last = base64.b64decode(token, validate=True).decode().partition(":")
        if mark == "after":
            return last
    except ValueError:
        pass
    raise errors.Ec2Error("InvalidPaginationToken", "The specified pagination token is not valid or has expired.")
