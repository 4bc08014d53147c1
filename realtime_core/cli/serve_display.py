"""What ``realtime serve`` shows: a line for each call, turn and refused request."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from realtime_core.cli.standard_streams import OutputError
from realtime_core.cli.text import one_line
from realtime_core.masking import mask_secrets
from realtime_core.serving import RefusedRequest, ServedSession, ServedTurn

__all__ = ["ServeDisplay", "make_display"]

SHOWN_CHARACTERS = 40
"""Of what one side said; the JSON lines have all of it."""

ID_CHARACTERS = 12


class ServeDisplay:
    """Shows nothing but where the server is; also the observer that a server tells."""

    def listening(self, url: str, responder: str, *, needs_key: bool) -> None:
        """The server is open."""
        show(f"serving the Realtime API at {url} (responder: {responder})")
        key = "REALTIME_API_KEY=... " if needs_key else ""
        show(f"try: {key}realtime run question.wav --out answer.wav --to {url}")

    def stopped(self) -> None:
        """The server is closed; on a terminal, this overwrites the ^C that it shows."""
        if sys.stdout.isatty():
            show("\rstopped")

    def session_started(self, session: ServedSession) -> None:
        """A client is connected, or connecting."""

    def event_passed(self, session: ServedSession) -> None:
        """An event came or left."""

    def turn_done(self, session: ServedSession, turn: ServedTurn) -> None:
        """An answer is over."""

    def session_ended(self, session: ServedSession) -> None:
        """A session is over."""

    def request_refused(self, request: RefusedRequest) -> None:
        """A request was answered by an error."""


class _Lines(ServeDisplay):
    """For people."""

    def session_started(self, session: ServedSession) -> None:
        _say(session, f"began: {session.transport} from {session.peer}, {session.model}")

    def turn_done(self, session: ServedSession, turn: ServedTurn) -> None:
        answer = [_quoted(turn.agent)] if turn.agent else []
        answer += [f"calls {call.name}({_short(call.arguments)})" for call in turn.calls]
        said = f"{_quoted(turn.user) if turn.user else '(audio)'} -> "
        said += ", ".join(answer) or "(nothing)"
        _say(session, f"turn {turn.number}: {said} ({', '.join(_measures(turn))})")

    def session_ended(self, session: ServedSession) -> None:
        turns = f"{len(session.turns)} turn{'' if len(session.turns) == 1 else 's'}"
        _say(session, f"ended after {session.duration_s or 0:.1f} s, {turns}: {session.ended}")

    def request_refused(self, request: RefusedRequest) -> None:
        what = f"refused {request.method} {request.path} from {request.peer}"
        _say(None, f"{what}: {request.status} {request.code or ''} {request.message}")


class _JsonLines(ServeDisplay):
    """For programs: an object a line."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet

    def listening(self, url: str, responder: str, *, needs_key: bool) -> None:
        _show_json("listening", url=url, responder=responder, needs_key=needs_key)

    def stopped(self) -> None:
        """Nothing: all that is shown is JSON."""

    def session_started(self, session: ServedSession) -> None:
        self._tell(
            "session_started",
            session=session.id,
            transport=session.transport,
            peer=session.peer,
            model=session.model,
        )

    def turn_done(self, session: ServedSession, turn: ServedTurn) -> None:
        self._tell("turn", session=session.id, **asdict(turn))

    def session_ended(self, session: ServedSession) -> None:
        self._tell(
            "session_ended",
            session=session.id,
            reason=session.ended,
            duration_s=session.duration_s,
            turns=len(session.turns),
        )

    def request_refused(self, request: RefusedRequest) -> None:
        self._tell("refused", **asdict(request))

    def _tell(self, event: str, **fields: Any) -> None:
        if not self._is_quiet:
            _show_json(event, **fields)


def make_display(*, is_quiet: bool, as_json: bool) -> ServeDisplay:
    """The display that was asked for."""
    if as_json:
        return _JsonLines(is_quiet=is_quiet)
    return ServeDisplay() if is_quiet else _Lines()


def show(line: str) -> None:
    """Print a line at once; where nothing takes it any more, the server goes on unseen."""
    with contextlib.suppress(OutputError):
        print(line, flush=True)


def _show_json(event: str, **fields: Any) -> None:
    show(json.dumps({"event": event, **mask_secrets(fields)}))


def _say(session: ServedSession | None, text: str) -> None:
    who = f"{session.id[:ID_CHARACTERS]:{ID_CHARACTERS}} " if session else ""
    show(f"{time.strftime('%H:%M:%S')} {who}{one_line(mask_secrets(text))}")


def _measures(turn: ServedTurn) -> list[str]:
    measures = [] if turn.status == "completed" else [turn.status]
    measures += [turn.reason] if turn.reason else []
    if turn.latency_s is not None:
        measures.append(f"first words after {turn.latency_s:.2f} s")
    measures.append(f"{turn.duration_s or 0:.1f} s in all")
    return measures


def _quoted(text: str) -> str:
    return f'"{_short(text)}"'


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"
