"""An HTTP server without a network: gives prepared answers, and keeps the requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realtime_core.errors import TransportError
from realtime_transports.http_client import HttpAnswer

__all__ = ["Http", "Request", "answer"]


@dataclass(frozen=True)
class Request:
    """What was posted."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """`HttpClient` that gives its answers one after the other."""

    def __init__(self, *answers: HttpAnswer | TransportError) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        self.requests.append(Request(url, headers, body))
        given = self._answers.pop(0)
        if isinstance(given, TransportError):
            raise given
        return given

    async def close(self) -> None:
        pass


def answer(status: int = 200, content: object = None) -> HttpAnswer:
    body = b"" if content is None else json.dumps(content).encode()
    return HttpAnswer(status, "reason", {}, body)
