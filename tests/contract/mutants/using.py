"""Memory transports that tell or send wrongly while connected."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from realtime_core.emitter import Listener
from realtime_core.events import Emit
from realtime_transports.memory import OpenAIRealtimeMemory
from realtime_transports.openai import wire
from tests.contract.mutants.registry import Mutants

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


# What is told


@caught_by("a_spoken_turn_is_told_in_its_order", "a_written_turn_is_told_in_its_order")
class SwapsEvents(OpenAIRealtimeMemory):
    held: str | bytes | None = None

    def _on_message(self, data: str | bytes) -> None:
        if b"content_part.added" in data.encode() if isinstance(data, str) else False:
            self.held = data
            return
        super()._on_message(data)
        if self.held is not None:
            held, self.held = self.held, None
            super()._on_message(held)


@caught_by("a_spoken_turn_is_told_in_its_order")
class TellsTypedFirst(OpenAIRealtimeMemory):
    def _tell(self, emit: Emit) -> None:
        if emit.type == "*":
            super()._tell(Emit(emit.args[0]["type"], emit.args))
            super()._tell(emit)
        elif not (emit.args and isinstance(emit.args[0], dict)):
            super()._tell(emit)


@caught_by("a_spoken_turn_is_told_in_its_order")
class LosesUsage(OpenAIRealtimeMemory):
    def _tell(self, emit: Emit) -> None:
        if emit.type != "usage_update":
            super()._tell(emit)


@caught_by("a_written_turn_is_told_in_its_order")
class DoublesDeltas(OpenAIRealtimeMemory):
    def _tell(self, emit: Emit) -> None:
        super()._tell(emit)
        if emit.type == "output_text_delta":
            super()._tell(emit)


@caught_by("a_function_call_is_told_once_and_whole")
class CallsTwice(OpenAIRealtimeMemory):
    def _tell(self, emit: Emit) -> None:
        super()._tell(emit)
        if emit.type == "function_call":
            super()._tell(emit)


@caught_by("listeners_find_the_state_changed")
class TellsBeforeItChanges(OpenAIRealtimeMemory):
    told = ()

    @property
    def history(self) -> Any:
        return self.told

    def _receive_event(self, event: dict[str, Any]) -> None:
        super()._receive_event(event)
        self.told = super().history


@caught_by("unknown_events_pass")
class DropsTheUnknown(OpenAIRealtimeMemory):
    def _receive_event(self, event: dict[str, Any]) -> None:
        if not event["type"].startswith("contract.unknown"):
            super()._receive_event(event)


@caught_by("unknown_events_pass")
class FailsAtTheUnknown(OpenAIRealtimeMemory):
    def _receive_event(self, event: dict[str, Any]) -> None:
        if event["type"].startswith("contract.unknown"):
            self.close()
        else:
            super()._receive_event(event)


@caught_by("a_message_that_is_no_event_does_no_harm")
class EndsAtNonsense(OpenAIRealtimeMemory):
    def _on_message(self, data: str | bytes) -> None:
        try:
            json.loads(data)
        except ValueError:
            self.close()
        else:
            super()._on_message(data)


@caught_by("an_error_of_the_server_is_told_and_the_connection_stays")
class EndsAtErrors(OpenAIRealtimeMemory):
    def _receive_event(self, event: dict[str, Any]) -> None:
        super()._receive_event(event)
        if event["type"] == "error":
            self.close()


@caught_by("an_error_of_the_server_is_told_and_the_connection_stays")
class HidesErrors(OpenAIRealtimeMemory):
    def _tell(self, emit: Emit) -> None:
        if emit.type != "error":
            super()._tell(emit)


@caught_by("a_raising_listener_is_reported_and_the_others_run")
class LetsListenersRaise(OpenAIRealtimeMemory):
    def _call(self, event: str, listener: Listener, args: tuple[Any, ...]) -> None:
        result = listener(*args)
        if asyncio.iscoroutine(result):
            self._run_in_background(event, listener, result)


@caught_by("a_raising_listener_is_reported_and_the_others_run")
class HidesFailedListeners(OpenAIRealtimeMemory):
    def _report_listener(self, event: str, listener: Listener, exc: BaseException) -> None:
        """Say nothing."""


@caught_by("what_a_listener_causes_is_told_afterwards")
class TellsInBetween(OpenAIRealtimeMemory):
    def emit(self, event: str, *args: Any) -> bool:
        self._dispatch(event, *args)
        return True


@caught_by("a_slow_listener_holds_nothing_up")
class WaitsForListeners(OpenAIRealtimeMemory):
    def _on_message(self, data: str | bytes) -> None:
        if self._listener_tasks:
            asyncio.get_running_loop().call_soon(self._on_message, data)
        else:
            super()._on_message(data)


@caught_by("a_slow_consumer_of_events_gets_all_of_them_in_order")
class ForgetsForTheSlow(OpenAIRealtimeMemory):
    async def events(self) -> Any:
        recent: list[Emit] = []

        def take(emit: Emit) -> None:
            recent.append(emit)
            del recent[:-100]

        self._followers.append(take)
        while True:
            while recent:
                emit = recent.pop(0)
                yield emit
                if emit.type == "disconnected":
                    self._followers.remove(take)
                    return
            await asyncio.sleep(0)


# What is sent


@caught_by("each_call_sends_what_it_says")
class SendsNoImages(OpenAIRealtimeMemory):
    def add_image(self, image: str, *, trigger_response: bool = True) -> None:
        """Forget it."""


@caught_by("events_keep_their_order")
class SendsBackwards(OpenAIRealtimeMemory):
    held: str | None = None

    def _write(self, text: str) -> None:
        if '"place":10' in text.replace(" ", "") and self.held is None:
            self.held = text
            return
        super()._write(text)
        if self.held is not None:
            held, self.held = self.held, None
            super()._write(held)
            self.held = ""


@caught_by("a_message_without_a_response_asks_for_none")
class AlwaysAsks(OpenAIRealtimeMemory):
    def send_message(
        self, message: Any, other_event_data: Any = None, *, trigger_response: bool = True
    ) -> None:
        super().send_message(message, other_event_data)


@caught_by("audio_in_events_arrives_and_is_committed")
class NeverCommits(OpenAIRealtimeMemory):
    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        super().send_audio(pcm)


@caught_by("a_changed_configuration_reaches_the_server")
class KeepsItsConfiguration(OpenAIRealtimeMemory):
    def update_session_config(self, config: Any) -> None:
        self._check_can_send()


@caught_by("what_cannot_be_sent_leaves_nothing_half_sent")
class SendsBeforeItLooks(OpenAIRealtimeMemory):
    def send_message(self, message: Any, *args: Any, **options: Any) -> None:
        self.request_response()
        super().send_message(message, *args, **options)


@caught_by("responses_never_overlap")
class DoesNotWaitItsTurn(OpenAIRealtimeMemory):
    def request_response(self, response: Any = None) -> None:
        self._check_can_send()
        self._write(wire.dump({"type": "response.create", "response": response}))


@caught_by("requests_that_wait_are_merged")
class MergesNothing(OpenAIRealtimeMemory):
    def send_message(self, message: Any, *args: Any, **options: Any) -> None:
        super().send_message(message, trigger_response=False)
        self.request_response({})


@caught_by("a_request_refused_for_another_response_is_not_lost")
class GivesUpWhenRefused(OpenAIRealtimeMemory):
    def _receive_event(self, event: dict[str, Any]) -> None:
        super()._receive_event(event)
        if event["type"] == "error":
            self._protocol._sequencer.release_waiters()


@caught_by("what_waited_is_forgotten_with_the_connection")
class RemembersRequests(OpenAIRealtimeMemory):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._protocol._sequencer.release_waiters = lambda: None  # type: ignore[method-assign]


@caught_by("interrupting_cancels_the_response_under_way_once")
class CancelsEachTime(OpenAIRealtimeMemory):
    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        self._check_can_send()
        self._write(wire.dump({"type": "response.cancel"}))


@caught_by("interrupting_only_the_audio_lets_the_response_go_on")
class CancelsRegardless(OpenAIRealtimeMemory):
    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        super().interrupt()


@caught_by("the_history_follows_the_server")
class AppendsOnly(OpenAIRealtimeMemory):
    @property
    def history(self) -> Any:
        return tuple(sorted(super().history, key=lambda item: item.item_id == "item_2"))


@caught_by("resetting_the_history_asks_for_each_step")
class ResetsAtHomeOnly(OpenAIRealtimeMemory):
    def reset_history(self, old_history: Any, new_history: Any) -> None:
        self._check_can_send()
        for item in {item.item_id for item in old_history} - {i.item_id for i in new_history}:
            event = {"type": "conversation.item.deleted", "item_id": item}
            self._protocol._history.receive(event)


@caught_by("a_history_that_cannot_be_is_refused_before_anything_is_sent")
class DeletesBeforeItLooks(OpenAIRealtimeMemory):
    def reset_history(self, old_history: Any, new_history: Any) -> None:
        super().reset_history(old_history, [])
        super().reset_history([], new_history)


@caught_by("sending_never_blocks_the_loop_and_draining_makes_room")
class DrainsNothing(OpenAIRealtimeMemory):
    sent = 0

    async def drain(self) -> None:
        """No room is made."""

    def _write(self, text: str) -> None:
        self.sent += 1
        if self.sent > 50:
            self._check_can_send()
            return
        super()._write(text)
