"""What the embedded cloud itself can be asked and told, under ``/_broadside``: JSON in, JSON out.

GET   /_broadside/calls?caller=...&mutating=true&after=12   the journal, filtered by any field
POST  /_broadside/reset-journal                              forget the journal
GET   /_broadside/behaviour                                  what holds now
POST  /_broadside/behaviour                                  what is to hold from now on (the content of a behaviour file)
GET   /_broadside/executions                                 every execution of every state machine
POST  /_broadside/schedules/NAME                             let a schedule (a rule's, or Scheduler's) be due now
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote

from broadside.local import answers, behaviour
from broadside.local.behaviour import BadBehaviour, Behaviour
from broadside.local.calls import Environ, body
from broadside.local.journal import Journal


class Control:
    """A WSGI application."""

    def __init__(
        self,
        *,
        journal: Journal,
        current: Callable[[], Behaviour],
        behave: Callable[[Behaviour], None],
        executions: Callable[[], list[dict[str, Any]]],
        fire: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._current = current
        self._behave = behave
        self._executions = executions
        self._fire = fire

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        content = body(environ)
        status, headers, answer = self._answer(environ, content)
        start_response(status, headers)
        return [answer]

    def _answer(self, environ: Environ, content: bytes) -> answers.Answer:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix("/_broadside/")
        first, _, rest = path.partition("/")
        match method, first:
            case "GET", "calls":
                wanted = dict(parse_qsl(environ.get("QUERY_STRING", "")))
                after = int(wanted.pop("after", "0"))
                answer: dict[str, Any] = {"calls": self._journal.find(after=after, **wanted)}
            case "POST", "reset-journal":
                self._journal.reset()
                answer = {}
            case "GET", "behaviour":
                answer = self._current().model_dump(mode="json")
            case "POST", "behaviour":
                return self._set(content)
            case "GET", "executions":
                answer = {"executions": self._executions()}
            case "POST", "schedules":
                return self._due(unquote(rest))
            case _:
                return answers.document({"error": f"There is no {method} {path} here."}, 404)
        return answers.document(answer)

    def _due(self, rule: str) -> answers.Answer:
        try:
            self._fire(rule)
        except KeyError:
            return answers.document({"error": f"There is no rule or schedule {rule}."}, 404)
        return answers.document({})

    def _set(self, content: bytes) -> answers.Answer:
        try:
            wanted = behaviour.parse(json.loads(content or b"{}"))
            self._behave(wanted)
        except (BadBehaviour, ValueError) as error:
            return answers.document({"error": str(error)}, 400)
        return answers.document({})
