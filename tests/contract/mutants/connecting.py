"""Memory transports that connect or end wrongly."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from realtime_core.errors import ConnectError, ConnectionLostError, TransportError, UserError
from realtime_core.events import ErrorEvent
from realtime_transports.memory import OpenAIRealtimeMemory
from tests.contract.mutants.registry import Mutants

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


@caught_by("it_is_a_whole_transport_with_the_contracts_signatures")
class TakesOtherArguments(OpenAIRealtimeMemory):
    def send_audio(self, data: bytes) -> None:  # type: ignore[override]
        super().send_audio(data)


@caught_by("it_is_a_whole_transport_with_the_contracts_signatures")
class SendsInACoroutine(OpenAIRealtimeMemory):
    async def request_response(self, response: Any = None) -> None:  # type: ignore[override]
        super().request_response(response)


@caught_by("a_new_transport_is_disconnected_and_empty")
class StartsConnected(OpenAIRealtimeMemory):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._status = "connected"


@caught_by("connecting_tells_the_status_step_by_step")
class SkipsConnecting(OpenAIRealtimeMemory):
    def emit(self, event: str, *args: Any) -> bool:
        return args != ("connecting",) and super().emit(event, *args)


@caught_by("connecting_tells_the_status_step_by_step")
class TellsBeforeItIsSo(OpenAIRealtimeMemory):
    def emit(self, event: str, *args: Any) -> bool:
        status = self._status
        if event == "connected":
            self._status = "connecting"
        try:
            return super().emit(event, *args)
        finally:
            self._status = status


@caught_by("the_configuration_is_the_first_thing_that_is_sent")
class SendsConfigurationLast(OpenAIRealtimeMemory):
    def _open_link(self, attempt: Any) -> None:
        config, attempt.session_config = attempt.session_config, {}
        super()._open_link(attempt)
        self.once("connected", lambda: self.update_session_config(config))


@caught_by("connect_waits_for_the_confirmation")
class DoesNotWait(OpenAIRealtimeMemory):
    def _open_link(self, attempt: Any) -> None:
        super()._open_link(attempt)
        self._confirm(attempt, None)


@caught_by("a_refused_connection_raises_connect_error_with_its_stage")
class SwallowsRefusal(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        try:
            await super().connect(**options)
        except ConnectError:
            return


@caught_by(
    "a_refused_connection_raises_connect_error_with_its_stage",
    "a_link_lost_before_it_is_ready_raises_connect_error",
)
class RaisesItsOwn(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        try:
            await super().connect(**options)
        except ConnectError as exc:
            raise OSError(str(exc)) from None


@caught_by("a_link_lost_before_it_is_ready_raises_connect_error")
class HangsOnEarlyLoss(OpenAIRealtimeMemory):
    def _on_end(self, reason: Exception | None) -> None:
        if self._attempt is None:
            super()._on_end(reason)


@caught_by("a_failure_leaves_the_model_as_it_was_and_the_next_attempt_works")
class KeepsTheModel(OpenAIRealtimeMemory):
    def _end_attempt(self, exc: Exception) -> None:
        model = self.current_model
        super()._end_attempt(exc)
        self.current_model = model


@caught_by("a_failure_leaves_the_model_as_it_was_and_the_next_attempt_works")
class ConnectsOnce(OpenAIRealtimeMemory):
    has_tried = False

    async def connect(self, **options: Any) -> None:
        if self.has_tried:
            raise UserError("used up")
        self.has_tried = True
        await super().connect(**options)


@caught_by("one_transport_connects_again_and_again")
class LosesThePlace(ConnectsOnce):
    """The same, with another test."""


@caught_by("cancelling_connect_releases_everything")
class GoesOnWhenCancelled(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        connecting = asyncio.ensure_future(super().connect(**options))
        connecting.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(connecting)


@caught_by("cancelling_connect_releases_everything")
class SwallowsCancellation(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        try:
            await super().connect(**options)
        except asyncio.CancelledError:
            return


@caught_by("closing_while_connecting_ends_the_attempt")
class LetsConnectHang(OpenAIRealtimeMemory):
    def _end_attempt(self, exc: Exception) -> None:
        if self._attempt is not None:
            self._attempt.outcome = asyncio.get_running_loop().create_future()
        super()._end_attempt(exc)


@caught_by("closing_while_connecting_ends_the_attempt", "a_listener_may_close_while_connecting")
class ReturnsWhenClosed(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        try:
            await super().connect(**options)
        except TransportError:
            return


@caught_by("two_who_connect_share_one_attempt")
class ConnectsForEach(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        if self.status != "disconnected":
            raise UserError("already connected or connecting")
        await super().connect(**options)


# The end


@caught_by("nothing_can_be_sent_or_awaited_without_a_connection")
class SendsIntoTheVoid(OpenAIRealtimeMemory):
    def _check_can_send(self) -> None:
        """Anything goes."""

    def _write(self, text: str) -> None:
        if self._link is not None:
            super()._write(text)


@caught_by("nothing_can_be_sent_or_awaited_without_a_connection")
class TellsTwice(OpenAIRealtimeMemory):
    def _check_can_send(self) -> None:
        try:
            super()._check_can_send()
        except TransportError as exc:
            self.emit("error", ErrorEvent(exc))
            raise


@caught_by("closing_what_was_never_opened_does_nothing_and_tells_nothing")
class RefusesToCloseUnopened(OpenAIRealtimeMemory):
    def close(self) -> None:
        self._check_can_send()
        super().close()


@caught_by(
    "closing_what_was_never_opened_does_nothing_and_tells_nothing", "closing_twice_is_told_once"
)
class TellsEachClose(OpenAIRealtimeMemory):
    def close(self) -> None:
        if self.status == "disconnected":
            self.emit("disconnected")
        super().close()


@caught_by("closing_twice_is_told_once")
class LeavesATask(OpenAIRealtimeMemory):
    async def connect(self, **options: Any) -> None:
        await super().connect(**options)
        self.forgotten = asyncio.ensure_future(asyncio.Event().wait())


@caught_by("closing_twice_is_told_once")
class ClosesLater(OpenAIRealtimeMemory):
    def close(self) -> None:
        asyncio.get_running_loop().call_soon(super().close)


@caught_by("closing_while_sending_stops_the_sender_with_an_error")
class TakesWhatComesTooLate(OpenAIRealtimeMemory):
    def _check_can_send(self) -> None:
        if not self.server.events:
            super()._check_can_send()

    def _write(self, text: str) -> None:
        if self._link is not None:
            super()._write(text)


@caught_by("waiting_ends_with_the_connection")
class WaitsForEver(OpenAIRealtimeMemory):
    async def wait_heard(self) -> None:
        self._check_can_send()
        await asyncio.Event().wait()


@caught_by("a_listener_may_close")
class GoesOnAfterClose(OpenAIRealtimeMemory):
    def close(self) -> None:
        loop = asyncio.get_running_loop()
        rest = list(self._link._to_client) if self._link else []
        super().close()
        for message in rest:
            loop.call_soon(self._on_message, message)


@caught_by("a_coroutine_listener_may_close_and_wait")
class WaitsForItself(OpenAIRealtimeMemory):
    async def wait_closed(self) -> None:
        if self._listener_tasks:
            await asyncio.wait(self._listener_tasks)


@caught_by("async_with_closes_and_waits")
class StaysOpen(OpenAIRealtimeMemory):
    async def __aexit__(self, *exc: object) -> None:
        """Forget to close."""


@caught_by("a_lost_link_is_told_once_with_the_reason")
class SilentAboutLoss(OpenAIRealtimeMemory):
    def _disconnect(self, reason: Exception | None = None, *, complete: bool) -> None:
        super()._disconnect(None, complete=complete)


@caught_by("a_lost_link_is_told_once_with_the_reason")
class TellsLossTwice(OpenAIRealtimeMemory):
    def _disconnect(self, reason: Exception | None = None, *, complete: bool) -> None:
        super()._disconnect(reason, complete=complete)
        if reason is not None:
            self._report(ConnectionLostError("once more"))


@caught_by("a_lost_link_is_told_once_with_the_reason")
class StaysConnectedWhenLost(OpenAIRealtimeMemory):
    def _on_end(self, reason: Exception | None) -> None:
        if reason is not None:
            self._report(reason)


@caught_by("the_history_outlives_the_connection")
class ForgetsTheHistory(OpenAIRealtimeMemory):
    @property
    def history(self) -> Any:
        return super().history if self.status == "connected" else ()


# Secrets


@caught_by("a_good_connection_shows_no_key")
class LogsTheKey(OpenAIRealtimeMemory):
    async def connect(self, *, api_key: Any = None, **options: Any) -> None:
        logging.getLogger("broken").debug("connecting with %s", api_key)
        await super().connect(**options)


@caught_by("a_good_connection_shows_no_key")
class KeepsThePlainKey(OpenAIRealtimeMemory):
    async def connect(self, *, api_key: Any = None, **options: Any) -> None:
        self.key = api_key
        await super().connect(**options)


@caught_by("a_refusal_that_repeats_the_key_shows_no_key")
class ShowsTheKeyWhenRefused(OpenAIRealtimeMemory):
    async def connect(self, *, api_key: Any = None, **options: Any) -> None:
        try:
            await super().connect(**options)
        except ConnectError as exc:
            shown = f"{exc}: {api_key.get_secret_value()}"
            raise ConnectError(exc.stage, shown) from exc


@caught_by("a_refusal_that_repeats_the_key_shows_no_key")
class HasTheKeyInAFrame(OpenAIRealtimeMemory):
    async def connect(self, *, api_key: Any = None, **options: Any) -> None:
        bearer = f"Bearer {api_key.get_secret_value()}"  # noqa: F841 - shown by its frame
        await super().connect(**options)
