"""The HTTP server, as the transports' HTTP client sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from realtime_core.errors import TransportError
from tests.conformance.recorder import Recorder
from tests.conformance.values import decode

__all__ = ["FakeHttpClient"]

DEFAULT_ANSWER = {
    "status": 201,
    "statusText": "Created",
    "headers": {"Location": "/v1/realtime/calls/rtc_default"},
    "body": "v=0 fake-answer",
}


class FakeHttpClient:
    """Answers from a queue, with a default, or waits for a step."""

    def __init__(self, recorder: Recorder, *, holds_answers: bool) -> None:
        """Begin with an empty queue.

        Args:
            recorder: Told of each request.
            holds_answers: Whether a request waits for a step instead of getting the default.
        """
        self._recorder = recorder
        self._holds_answers = holds_answers
        self._queue: deque[Mapping[str, Any]] = deque()
        self._waiting: deque[asyncio.Future[Mapping[str, Any]]] = deque()

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, **_: Any
    ) -> SimpleNamespace:
        """Record the request and give the next answer."""
        self._recorder.http("POST", url, headers, body)
        return _answer(await self._next())

    async def close(self) -> None:
        """Nothing is open."""

    def answer(self, spec: Mapping[str, Any]) -> None:
        """A step's answer, for who waits or for who comes next."""
        if not self._waiting:
            self._queue.append(spec)
            return
        waiting = self._waiting.popleft()
        if not waiting.done():  # one that was given up still uses up its answer
            waiting.set_result(spec)

    async def _next(self) -> Mapping[str, Any]:
        if self._queue:
            return self._queue.popleft()
        if not self._holds_answers:
            return DEFAULT_ANSWER
        waiting: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting


def _answer(spec: Mapping[str, Any]) -> SimpleNamespace:
    """An answer in the form that the HTTP client of the transports gives."""
    if "networkError" in spec:
        raise TransportError(spec["networkError"])
    headers = {str(k).lower(): str(v) for k, v in (spec.get("headers") or {}).items()}
    body_error = spec.get("bodyError")
    return SimpleNamespace(
        status=spec.get("status", 200),
        reason=spec.get("statusText", ""),
        headers=_AnyCase(headers),
        body=b"" if body_error else str(decode(spec.get("body", ""))).encode(),
        body_error=TransportError(body_error) if body_error else None,
    )


class _AnyCase(dict[str, str]):
    """Header names in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The header's value, or the default."""
        return super().get(name.lower(), default)
