"""A local Realtime server in a thread and an event loop of its own, for tests of any kind.

What is told in its loop is kept for the test's thread: reading needs no lock, as lists only grow;
waiting is by a condition.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from realtime_core.errors import RealtimeError, UserError
from realtime_core.plugins import default_plugins
from realtime_core.serving import RefusedRequest, ServedSession, ServedTurn

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["RunningServer"]

DEFAULT_KEY = "sk-of-the-test-server"
"""Any other would be taken as well, where no key is given."""

OPEN_DEADLINE_S = 60.0
"""A responder may load models."""

CLOSE_DEADLINE_S = 20.0


class RunningServer:
    """A server that runs while the context lasts. Its methods are for any thread but its own.

    Example::

        with RunningServer(responder="parrot") as server:
            client = OpenAI(base_url=server.base_url, api_key=server.api_key)
    """

    def __init__(self, *, kind: str = "openai", api_key: str | None = None, **options: Any) -> None:
        """Prepare; the context opens it.

        Args:
            kind: The plugin's name for the server (hook ``realtime_local_servers``).
            api_key: The one key that is taken; None takes any.
            options: Of the server: ``responder``, ``faults``, ``seed``, ``strict`` and so on.

        Raises:
            PluginError: There is no such server.
        """
        self.api_key = api_key or DEFAULT_KEY
        """A key that the server takes."""
        self.base_url = ""
        """For SDKs: ``http://127.0.0.1:PORT/v1``."""
        self.websocket_url = ""
        """The same with ``ws://``."""
        self.refused: list[RefusedRequest] = []
        """Requests that were answered by an error, in order."""
        self._factory = default_plugins().factory("local server", kind)
        self._options: Mapping[str, Any] = options | ({"api_key": api_key} if api_key else {})
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._server: Any = None

    @property
    def sessions(self) -> Sequence[ServedSession]:
        """All sessions of this test, open and ended, in the order in which they began."""
        sessions: Sequence[ServedSession] = self._server.sessions if self._server else ()
        return sessions

    @property
    def calls(self) -> list[ServedSession]:
        """Those over WebRTC."""
        return [session for session in self.sessions if session.transport == "webrtc"]

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Listen on a free port.

        Raises:
            RealtimeError: What the server raises when it cannot be opened.
            UserError: It is open already.
        """
        if self._thread is not None:
            raise UserError("the server is open already; close it first")
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="realtime-server", daemon=True
        )
        self._thread.start()
        try:
            opened.result(OPEN_DEADLINE_S)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything and wait for it. Closing twice is fine.

        Raises:
            RealtimeError: It did not end in time.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stop.set)
        thread.join(CLOSE_DEADLINE_S)
        if thread.is_alive():
            raise RealtimeError(f"the server did not end within {CLOSE_DEADLINE_S:.0f} s")

    def forget_sessions(self) -> None:
        """End all sessions and forget them, as for the next test.

        Raises:
            RealtimeError: They did not end in time.
        """
        if self._loop is None or self._thread is None:
            return
        ending = asyncio.run_coroutine_threadsafe(self._server.forget_sessions(), self._loop)
        try:
            ending.result(CLOSE_DEADLINE_S)
        except TimeoutError as exc:
            raise RealtimeError(f"sessions did not end in {CLOSE_DEADLINE_S:.0f} s") from exc
        self.refused.clear()

    def wait_until(self, condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
        """Wait in this thread until something holds; it is asked for whenever something happens.

        In a coroutine use `until`, as this stops its event loop.

        Raises:
            TimeoutError: It does not hold in time; the message tells the conversations so far.
        """
        with self._changed:
            if self._changed.wait_for(condition, timeout_s):
                return
        raise TimeoutError(f"nothing like it within {timeout_s:g} s; {self._describe()}")

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
        """Wait in a coroutine until something holds.

        Raises:
            TimeoutError: It does not hold in time; the message tells the conversations so far.
        """
        await asyncio.to_thread(self.wait_until, condition, timeout_s=timeout_s)

    # The observer, called in the server's thread

    def session_started(self, _session: ServedSession, /) -> None:
        """A client is connected."""
        self._tell()

    def event_passed(self, _session: ServedSession, /) -> None:
        """An event came or left."""
        self._tell()

    def turn_done(self, _session: ServedSession, _turn: ServedTurn, /) -> None:
        """An answer is over."""
        self._tell()

    def session_ended(self, _session: ServedSession, /) -> None:
        """A session is over."""
        self._tell()

    def request_refused(self, request: RefusedRequest, /) -> None:
        """A request was answered by an error."""
        self.refused.append(request)
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _describe(self) -> str:
        if not self.sessions and not self.refused:
            return "no client came"
        lines = [f"refused {each.method} {each.path}: {each.message}" for each in self.refused]
        for session in self.sessions:
            last = session.server_events[-1]["type"] if session.server_events else "nothing"
            said = session.transcript.replace("\n", " / ")
            lines.append(
                f"{session.transport} session with {len(session.client_events)} client events, "
                f"the last thing sent is {last}, {session.ended or 'open'}: {said}"
            )
        return "; ".join(lines)

    def _run(self, opened: Future[None]) -> None:
        try:
            asyncio.run(self._serve(opened))
        except BaseException as exc:  # it goes to whoever opens, who waits for it
            if opened.done():
                raise
            opened.set_exception(exc)

    async def _serve(self, opened: Future[None]) -> None:
        server = self._factory(
            host="127.0.0.1", port=0, observer=self, keep_events=True, **self._options
        )
        stop = asyncio.Event()
        async with server:
            self._server, self._stop = server, stop
            self.base_url, self.websocket_url = server.url, server.websocket_url
            self._loop = asyncio.get_running_loop()
            opened.set_result(None)
            await stop.wait()
