"""Plays cases of transport ``sequencer`` on `ResponseCreateSequencer` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realtime_transports.openai.sequencer import ResponseCreateSequencer
from tests.conformance.stage import Stage, UnknownStepError
from tests.conformance.values import without_undefined
from tests.conformance.virtual_loop import VirtualLoop

__all__ = ["play_sequencer"]

_CALLS = {
    "requestResponseCreate": "request_response_create",
    "markResponseCreated": "mark_response_created",
    "markResponseDone": "mark_response_done",
    "beginCancelResponse": "begin_cancel_response",
    "handleResponseCreateError": "handle_response_create_error",
    "releaseWaiters": "release_waiters",
}

_PROPERTIES = {
    "ongoingResponse": "ongoing_response",
    "responseControl": "response_control",
    "pendingResponseCreateEventId": "pending_response_create_event_id",
}


async def play_sequencer(stage: Stage, loop: VirtualLoop) -> None:
    """Play a case on a new sequencer, with a link that fails as the case says."""
    await stage.play(_Player(stage, ResponseCreateSequencer()).do)


class _Player:
    def __init__(self, stage: Stage, sequencer: Any) -> None:
        self.stage = stage
        self.recorder = stage.recorder
        self.sequencer = sequencer
        self.sends = 0

    def do(self, step: Mapping[str, Any]) -> None:
        if "get" in step and step["get"] in _PROPERTIES:
            value = getattr(self.sequencer, _PROPERTIES[step["get"]])
            self.recorder.got("get", step["get"], value)
        elif step.get("call") in _CALLS:
            self._call(step)
        else:
            raise UnknownStepError(f"unknown step {step}")

    def _call(self, step: Mapping[str, Any]) -> None:
        args = without_undefined(self.stage.decode(step.get("args", [])))
        options = {}
        if step["call"] == "requestResponseCreate" and len(args) > 1:
            options = {"manual": args.pop().get("manual", False)}
        try:
            result = getattr(self.sequencer, _CALLS[step["call"]])(*args, **options)
        except Exception as exc:  # any is compared
            self.recorder.failed("call", exc, step["call"])
            return
        if isinstance(result, bool):  # anything else is a handle, for which JavaScript has none
            self.recorder.got("call", step["call"], result)
        self._send()

    def _send(self) -> None:
        while sends := self.sequencer.take_sends():
            for event in sends:
                self._send_one(event)

    def _send_one(self, event: Mapping[str, Any]) -> None:
        self.sends += 1
        for spec in self.stage.scene.fakes.get("sendFails", ()):
            is_meant = spec["type"] in (event["type"], "*")
            if is_meant and spec.get("nth", self.sends) == self.sends:
                error = RuntimeError(spec["message"])
                self.sequencer.send_failed(event["event_id"], error)
                for failure in self.sequencer.take_failures():
                    self.recorder.emitted("onError", (failure,))
                return
        self.recorder.sent(0, dict(event))
