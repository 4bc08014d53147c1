"""What the fixture `realtime_server` does; the pytest plugin has the fixture itself."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from realtime_core.testing.leaks import long_lived
from realtime_core.testing.running_server import RunningServer

__all__ = ["ServerPool", "read_marker", "serve_test"]

MARKER = "realtime_server"

DEFAULT_RESPONDER = "speech:?engine=hum"
DEFAULT_WITH_RULES = "script:?engine=hum"
"""Without models: quick, and the same on every machine."""


def read_marker(node: pytest.Item) -> dict[str, Any]:
    """The options that the nearest markers give; a nearer one counts more.

    Raises:
        pytest.UsageError: They are no options.
    """
    options: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers(MARKER))):
        try:
            bound = inspect.signature(_options).bind(*marker.args, **marker.kwargs)
        except TypeError as exc:
            known = ", ".join(inspect.signature(_options).parameters)
            raise pytest.UsageError(
                f"{node.nodeid}: marker {MARKER}: {exc}; there are: {known}"
            ) from None
        options |= bound.arguments
    rules = options.pop("rules", None)
    if rules is not None:
        path = Path(node.path).parent / rules
        if not path.is_file():
            raise pytest.UsageError(f"{node.nodeid}: marker {MARKER}: there is no file {path}")
        options["responder"] = _with_rules(options.get("responder", DEFAULT_WITH_RULES), path)
    return {"responder": DEFAULT_RESPONDER} | options


def _with_rules(responder: str, path: Path) -> str:
    """A responder's spec that names a file of rules too."""
    return f"{responder}{'&' if '?' in responder else '?'}rules={quote(str(path))}"


def _options(
    *,
    responder: str = DEFAULT_RESPONDER,
    rules: str | Path | None = None,
    faults: Any = (),
    seed: int = 0,
    strict: bool = False,
    api_key: str | None = None,
    max_sessions: int = 64,
    max_session_s: float | None = None,
    max_idle_s: float | None = None,
    kind: str = "openai",
) -> None:
    """What a marker may say."""


class ServerPool:
    """Servers that serve many tests, one for each set of options."""

    def __init__(self) -> None:
        """Begin without."""
        self._servers: dict[str, RunningServer] = {}

    def get(self, options: dict[str, Any]) -> RunningServer:
        """A server with these options and without sessions."""
        name = json.dumps(options, sort_keys=True, default=repr)
        if name not in self._servers:
            server = RunningServer(**options)
            with long_lived():
                server.open()
            self._servers[name] = server
        return self._servers[name]

    def close(self) -> None:
        """Close all."""
        servers, self._servers = list(self._servers.values()), {}
        with ExitStack() as stack:  # each is closed though another fails
            for server in servers:
                stack.callback(server.close)


@contextmanager
def serve_test(options: dict[str, Any], pool: ServerPool | None) -> Iterator[RunningServer]:
    """A server for one test: of the pool if there is one, else its own."""
    if pool is None:
        with RunningServer(**options) as server:
            yield server
        return
    server = pool.get(options)
    try:
        yield server
    finally:
        server.forget_sessions()
