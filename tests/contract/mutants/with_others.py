"""Memory transports that treat middlewares, sources or sinks wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from realtime_core.events import Emit
from realtime_transports.memory import OpenAIRealtimeMemory
from realtime_transports.openai import wire
from tests.contract.mutants.registry import Mutants

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


# Middlewares


def breaking(change: Callable[[Any], None]) -> Any:
    """A transport whose middleware chain is changed."""

    class Breaking(OpenAIRealtimeMemory):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            change(self._middlewares)

    Breaking.__name__ = change.__name__
    return Breaking


def _shares_the_programs_event(chain: Any) -> None:
    chain._pass = lambda event, steps: (
        [passed for _, step in steps for passed in [step(event)] if passed] or [event]
    )


def _takes_the_first(chain: Any) -> None:
    whole = chain.outgoing
    chain.outgoing = lambda event: whole(event)[:1]


def _never_drops(chain: Any) -> None:
    whole = chain.outgoing
    chain.outgoing = lambda event: whole(event) or [event]


def _sends_what_failed_half_changed(chain: Any) -> None:
    def take(middleware: Any, direction: str, event: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            passed = getattr(middleware, direction)(event)
        except RuntimeError as exc:
            chain._report_failure(middleware, exc)
            return [event]
        return [passed] if passed is not None else []

    chain._take = take


def _tells_no_link(chain: Any) -> None:
    chain.link_opened = lambda model: None


caught_by("a_changed_event_is_sent_and_told_as_changed")(breaking(_shares_the_programs_event))
caught_by("several_events_may_go_on_in_the_place_of_one")(breaking(_takes_the_first))
caught_by("a_dropped_event_is_neither_sent_nor_told")(breaking(_never_drops))
caught_by("a_raising_middleware_is_reported_and_the_event_goes_on_as_it_was")(
    breaking(_sends_what_failed_half_changed)
)
caught_by("middlewares_see_everything_in_both_directions")(breaking(_tells_no_link))
caught_by("a_dropped_change_of_configuration_does_no_harm")(breaking(_never_drops))


@caught_by("middlewares_see_everything_in_both_directions")
class SendsPastMiddlewares(OpenAIRealtimeMemory):
    def send_message(self, message: Any, *args: Any, **options: Any) -> None:
        self._check_can_send()
        self._write(wire.dump({"type": "conversation.item.create", "item": {}}))


@caught_by("a_dropped_configuration_ends_in_a_connection_or_an_error")
class WaitsForNobody(OpenAIRealtimeMemory):
    def _open_link(self, attempt: Any) -> None:
        try:
            super()._open_link(attempt)
        except Exception:
            return  # and wait


@caught_by("a_dropped_request_does_not_block_the_next")
class ForgetsWhatWasDropped(OpenAIRealtimeMemory):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        inner = object.__getattribute__(self._protocol, "__dict__").get("_protocol")
        (inner or self._protocol).send_dropped = lambda event: None


# Audio


@caught_by("the_sources_audio_reaches_the_far_end")
class HearsNothing(OpenAIRealtimeMemory):
    async def wait_source_ended(self) -> None:
        self._check_can_send()


@caught_by("nothing_of_the_source_leaves_while_muted")
class MutesTooLate(OpenAIRealtimeMemory):
    def mute(self, muted: bool) -> None:
        self._muted = False
        super().mute(muted)
        self._muted = False


@caught_by("mute_holds_for_later_connections_too")
class ForgetsMute(OpenAIRealtimeMemory):
    def close(self) -> None:
        super().close()
        self._muted = False


@caught_by("the_models_audio_reaches_the_sink_and_listeners")
class TellsWithoutLabels(OpenAIRealtimeMemory):
    def _tell(self, emit: Emit) -> None:
        if emit.type == "audio":
            emit = Emit("audio", (type(emit.args[0])(emit.args[0].data, None),))
        super()._tell(emit)


@caught_by("the_models_audio_reaches_the_sink_and_listeners")
class ClosesTheCallersSink(OpenAIRealtimeMemory):
    async def _finish(self, audio: Any, **options: Any) -> None:
        await super()._finish(audio, **options)
        if audio is not None and audio._sink is not None:
            await audio._sink.close()


@caught_by("interrupting_clears_the_sink")
class KeepsTalking(OpenAIRealtimeMemory):
    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        self._check_can_send()


@caught_by("an_interruption_is_told_once")
class TellsEveryInterruption(OpenAIRealtimeMemory):
    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        super().interrupt(cancel_ongoing_response)
        self.emit("audio_interrupted")


@caught_by("a_source_that_fails_is_reported_and_the_call_goes_on")
class EndsWithItsSource(OpenAIRealtimeMemory):
    def _report(self, error: Exception) -> None:
        super()._report(error)
        self.close()


@caught_by("a_sink_that_fails_is_reported_and_the_call_goes_on")
class HidesTheSinksFailure(OpenAIRealtimeMemory):
    def _report(self, error: Exception) -> None:
        """Say nothing."""


@caught_by("a_sink_that_never_returns_holds_nothing_up")
class StopsForTheSink(OpenAIRealtimeMemory):
    def _on_message(self, data: str | bytes) -> None:
        if self._audio is not None and self._audio.incoming._is_writing:
            asyncio.get_running_loop().call_soon(self._on_message, data)
        else:
            super()._on_message(data)
