"""Rules for behaviour that the public recordings do not show, on cases written by hand."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.conformance.case import Case, Scene
from tests.conformance.rules import RULES
from tests.conformance.run import run_case

CONNECT = {"call": "connect", "args": [{"apiKey": "ek_test"}]}
REQUEST = {
    "step": 0,
    "method": "POST",
    "url": "https://api.openai.com/v1/realtime/calls",
    "headers": {"content-type": "application/sdp", "authorization": "Bearer ek_test"},
    "body": "v=0 fake-offer",
}
AUDIO: dict[str, Any] = {
    "input": {
        "format": {"type": "audio/pcm", "rate": 24000},
        "noise_reduction": None,
        "transcription": {"model": "gpt-4o-mini-transcribe"},
        "turn_detection": {"type": "semantic_vad"},
    },
    "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
}
UPDATE = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "audio": AUDIO,
    },
}


def _told(*events: tuple[int, str, list[Any]]) -> list[dict[str, Any]]:
    return [{"step": step, "type": kind, "args": args} for step, kind, args in events]


def _status(step: int, status: str) -> tuple[int, str, list[Any]]:
    return step, "connection_change", [status]


def a_case(steps: list[dict[str, Any]], expect: dict[str, Any], **more: Any) -> Case:
    raw = {"transport": "webrtc", "steps": steps, "expect": expect, **more}
    return Case("by hand", "rules", raw)


UNCONFIRMED = a_case(
    [CONNECT, {"advanceMs": 5000}, {"get": "status"}],
    {
        "sent": [{"step": 0, "conn": 1, "event": UPDATE}],
        "emitted": _told(_status(0, "connecting"), _status(1, "connected"), (1, "connected", [])),
        "gets": [{"step": 2, "get": "status", "value": "connected"}],
        "async": [{"call": "connect", "step": 0, "settled": 1, "outcome": "ok"}],
        "http": [REQUEST],
    },
)

NEVER_OPENS = a_case(
    [CONNECT, {"advanceMs": 60000}, {"get": "status"}],
    {
        "emitted": _told(_status(0, "connecting")),
        "gets": [{"step": 2, "get": "status", "value": "connecting"}],
        "async": [{"call": "connect", "step": 0, "settled": None, "outcome": "pending"}],
        "http": [REQUEST],
    },
    autoOpen=False,
)

CLOSES_BEFORE_OPEN = a_case(
    [CONNECT, {"channel": "close"}, {"get": "status"}],
    {
        "emitted": _told(_status(0, "connecting")),
        "gets": [{"step": 2, "get": "status", "value": "connecting"}],
        "async": [{"call": "connect", "step": 0, "settled": None, "outcome": "pending"}],
        "http": [REQUEST],
    },
    autoOpen=False,
)


@pytest.mark.parametrize(
    ("case", "quirk"),
    [
        (UNCONFIRMED, "ack-timeout-resolves-connect"),
        (NEVER_OPENS, "no-connect-deadline"),
        (CLOSES_BEFORE_OPEN, "channel-close-before-open-hangs"),
    ],
)
def test_a_mended_behaviour_differs_under_its_quirk(case: Case, quirk: str) -> None:
    outcome = run_case(case)
    assert (outcome.kind, outcome.quirk) == ("differs", quirk), outcome.detail


def test_rules_do_not_see_what_a_case_is_called() -> None:
    assert not {"name", "area", "quirk", "touches"} & inspect.signature(Scene).parameters.keys()


def test_each_quirk_has_one_rule() -> None:
    quirks = [rule.quirk for rule in RULES]
    assert len(set(quirks)) == len(quirks)
    assert all(rule.instead for rule in RULES)
