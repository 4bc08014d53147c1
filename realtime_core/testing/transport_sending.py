"""The contract of what is sent: in order, and one response at a time."""

from __future__ import annotations

from typing import Any

from realtime_core.errors import TransportError, UserError
from realtime_core.handles import HistoryResetHandle
from realtime_core.testing.calls import SENDING_CALLS, SENT_BY
from realtime_core.testing.demand import require
from realtime_core.testing.harness import TransportHarness
from realtime_core.testing.suite import Suite
from realtime_core.testing.transport_connecting import expected
from realtime_core.testing.trial import Trial
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["SendingContract"]

REQUEST = RealtimeTransportLayer.request_response
RESET = RealtimeTransportLayer.reset_history


class SendingContract(Suite):
    """A part of `TransportContract`."""

    async def test_each_call_sends_what_it_says(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            for number, (name, wanted) in enumerate(SENT_BY.items()):
                before = len(trial.sent)
                SENDING_CALLS[name](trial.transport)
                sent = (await trial.sent_all())[before:]
                require(
                    sent == wanted,
                    f"{name}() sends {wanted}",
                    seen=sent,
                    see=getattr(RealtimeTransportLayer, name),
                )
                trial.send(trial.script.created(f"resp_{number}"))
                trial.send(trial.script.done(f"resp_{number}"))
                await trial.told_all()

    async def test_events_keep_their_order(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            for number in range(200):
                trial.transport.send_event({"type": "contract.numbered", "place": number})
                await trial.transport.drain()
            await trial.sent_all()
            places = [event["place"] for event in trial.sent_of("contract.numbered")]
            require(
                places == [*range(200)],
                "events come to the server once each, in the order of the calls",
                seen=places[:20],
                see=RealtimeTransportLayer.send_event,
            )

    async def test_a_message_without_a_response_asks_for_none(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.transport.send_message("Hello", {"event_id": "mine"}, trigger_response=False)
            trial.transport.add_image("data:image/png;base64,AA==", trigger_response=False)
            sent = await trial.sent_all()
            require(
                sent == ["conversation.item.create"] * 2,
                "trigger_response=False sends the message alone",
                seen=sent,
                see=RealtimeTransportLayer.send_message,
            )
            event = trial.sent_of("conversation.item.create")[0]
            require(
                (event["event_id"], event["item"]["content"][0]["text"]) == ("mine", "Hello"),
                "the message and other_event_data are in the event",
                seen=event,
                see=RealtimeTransportLayer.send_message,
            )

    async def test_audio_in_events_arrives_and_is_committed(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.transport.send_audio(b"\1\0\2\0", commit=True)
            sent = await trial.sent_all()
            require(
                sent == ["input_audio_buffer.append", "input_audio_buffer.commit"],
                "send_audio(commit=True) appends and commits",
                seen=sent,
                see=RealtimeTransportLayer.send_audio,
            )
            audio = trial.sent_of("input_audio_buffer.append")[0]["audio"]
            require(
                audio == "AQACAA==",
                "the bytes arrive as they are, in base64",
                seen=audio,
                see=RealtimeTransportLayer.send_audio,
            )

    async def test_a_changed_configuration_reaches_the_server(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.transport.update_session_config({"instructions": "Other"})
            await trial.sent_all()
            told = [e["session"].get("instructions") for e in trial.sent_of("session.update")]
            require(
                told[-1] == "Other",
                "update_session_config() sends a session.update with the change",
                seen=told,
                see=RealtimeTransportLayer.update_session_config,
            )

    async def test_what_cannot_be_sent_leaves_nothing_half_sent(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            with expected(UserError, "a message without content does not fit", UserError):
                trial.transport.send_message({"type": "message"})
            sent = await trial.sent_all()
            require(
                sent == [],
                "arguments are checked before anything is sent",
                seen=sent,
                see=RealtimeTransportLayer.send_message,
            )

    # One response at a time

    async def test_responses_never_overlap(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            for number in range(3):
                trial.transport.request_response({"metadata": {"number": str(number)}})
            for number in range(3):
                await trial.sent_all()
                numbers = [e["response"]["metadata"]["number"] for e in asked(trial)]
                require(
                    numbers == [str(n) for n in range(number + 1)],
                    "a response is asked for as soon as no other is under way, and not before; "
                    "requests with settings of their own are not merged",
                    seen=f"with {number} responses done, asked for: {numbers}",
                    see=REQUEST,
                )
                trial.send(trial.script.created(f"resp_{number}"))
                await trial.told_all()
                await trial.sent_all()
                require(
                    len(asked(trial)) == number + 1,
                    "while a response is under way no other is asked for",
                    seen=asked(trial),
                    see=REQUEST,
                )
                trial.send(trial.script.done(f"resp_{number}"))
                await trial.told_all()

    async def test_requests_that_wait_are_merged(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(trial.script.created("resp_1"))
            await trial.told_all()
            for number in range(3):
                trial.transport.send_message(f"message {number}")
            sent = await trial.sent_all()
            require(
                sent == ["conversation.item.create"] * 3,
                "messages go out at once; their responses wait for the one under way",
                seen=sent,
                see=REQUEST,
            )
            trial.send(trial.script.done("resp_1"), trial.script.created("resp_2"))
            trial.send(trial.script.done("resp_2"))
            await trial.told_all()
            await trial.sent_all()
            require(
                len(asked(trial)) == 1,
                "requests without settings are merged while they wait",
                seen=asked(trial),
                see=REQUEST,
            )

    async def test_a_request_refused_for_another_response_is_not_lost(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, may_fail=True) as trial:
            await trial.connect()
            trial.transport.request_response()
            await trial.sent_all()
            refusal = {
                "code": "conversation_already_has_active_response",
                "event_id": asked(trial)[0].get("event_id"),
            }
            trial.send(trial.script.error("another response is active", **refusal))
            trial.send(trial.script.created("resp_1"), trial.script.done("resp_1"))
            await trial.told_all()
            await trial.sent_all()
            require(
                len(asked(trial)) == 2,
                "a request that came too early is asked again when the other response is done",
                seen=asked(trial),
                see=REQUEST,
            )

    async def test_what_waited_is_forgotten_with_the_connection(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(trial.script.created("resp_1"))
            await trial.told_all()
            trial.transport.request_response()
            trial.transport.close()
            await trial.transport.wait_closed()
            await trial.connect()
            await trial.sent_all()
            require(
                not asked(trial),
                "a new connection begins without what was asked for on the one before",
                seen=asked(trial),
                see=RealtimeTransportLayer.close,
            )
            trial.transport.request_response()
            await trial.sent_all()
            require(
                len(asked(trial)) == 1,
                "and no response is under way on it",
                seen=asked(trial),
                see=REQUEST,
            )

    # Interruption

    async def test_interrupting_cancels_the_response_under_way_once(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(trial.script.created("resp_1"))
            await trial.told_all()
            trial.transport.interrupt()
            trial.transport.interrupt()
            sent = await trial.sent_all()
            require(
                sent.count("response.cancel") == 1,
                "interrupt() cancels the response under way, once",
                seen=sent,
                see=RealtimeTransportLayer.interrupt,
            )
            trial.send(trial.script.done("resp_1", status="cancelled"))
            await trial.told_all()
            trial.transport.request_response()
            await trial.sent_all()
            require(
                len(asked(trial)) == 1,
                "after the cancelled response is done the next can be asked for",
                seen=asked(trial),
                see=REQUEST,
            )

    async def test_interrupting_only_the_audio_lets_the_response_go_on(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.transport.interrupt()
            trial.send(trial.script.created("resp_1"))
            await trial.told_all()
            trial.transport.interrupt(False)
            sent = await trial.sent_all()
            require(
                "response.cancel" not in sent,
                "interrupt(False) stops the audio alone, and without a response there is nothing "
                "to cancel",
                seen=sent,
                see=RealtimeTransportLayer.interrupt,
            )

    # History

    async def test_the_history_follows_the_server(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(*trial.script.user_item("item_1", "one", previous=None))
            trial.send(*trial.script.user_item("item_3", "three", previous="item_1"))
            trial.send(*trial.script.user_item("item_2", "two", previous="item_1"))
            await trial.told_all()
            require(
                ids(trial) == ["item_1", "item_2", "item_3"],
                "items stand where the server puts them",
                seen=ids(trial),
                see=RealtimeTransportLayer.history,
            )
            trial.send(trial.script.deleted("item_2"))
            await trial.told_all()
            require(
                ids(trial) == ["item_1", "item_3"]
                and [deleted.item_id for deleted in trial.of("item_deleted")] == ["item_2"],
                "a deleted item leaves the history, and `item_deleted` tells so",
                seen=ids(trial),
                see=RealtimeTransportLayer.history,
            )
            require(
                isinstance(trial.transport.history, tuple),
                "the history is a value: a tuple, replaced and never changed",
                seen=type(trial.transport.history),
                see=RealtimeTransportLayer.history,
            )

    async def test_resetting_the_history_asks_for_each_step(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(*trial.script.user_item("item_1", "one", previous=None))
            trial.send(*trial.script.user_item("item_2", "two", previous="item_1"))
            await trial.told_all()
            old = trial.transport.history
            handle = trial.transport.reset_history(old, old[:1])
            sent = await trial.sent_all()
            deleted = [event["item_id"] for event in trial.sent_of("conversation.item.delete")]
            require(
                sent == ["conversation.item.delete"] and deleted == ["item_2"],
                "reset_history() asks the server for what leads from the old to the new history",
                seen=sent,
                see=RESET,
            )
            trial.send(trial.script.deleted("item_2"))
            await trial.told_all()
            require(
                handle.is_settled,
                "the handle that reset_history() returns tells when each step is confirmed",
                seen=handle,
                see=HistoryResetHandle.wait_applied,
            )
            trial.transport.reset_history(trial.transport.history, old)
            await trial.sent_all()
            created = [e["item"]["id"] for e in trial.sent_of("conversation.item.create")]
            require(
                created == ["item_2"],
                "an item that the server lacks is created, with its id",
                seen=created,
                see=RESET,
            )

    async def test_a_history_that_cannot_be_is_refused_before_anything_is_sent(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(*trial.script.user_item("item_1", "one", previous=None))
            trial.send(*trial.script.spoken("resp_1", "item_2", "Hello"))
            await trial.told_all()
            spoken = [item for item in trial.transport.history if item.item_id == "item_2"]
            old = [item for item in trial.transport.history if item.item_id == "item_1"]
            with expected(UserError, "the server cannot be given speech of the model", RESET):
                trial.transport.reset_history(old, spoken)
            sent = await trial.sent_all()
            require(sent == [], "then nothing is sent", seen=sent, see=RESET)

    async def test_sending_never_blocks_the_loop_and_draining_makes_room(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            refused = 0
            for number in range(100):
                try:
                    trial.transport.send_event({"type": "contract.large", "data": "x" * 20_000})
                except TransportError:
                    refused += 1
                if number % 10 == 9:
                    await trial.transport.drain()
            await trial.sent_all()
            arrived = len(trial.sent_of("contract.large"))
            require(
                arrived + refused == 100 and refused == 0,
                "with drain() between them, large events all arrive",
                seen=f"{arrived} arrived, {refused} refused",
                see=RealtimeTransportLayer.drain,
            )


def asked(trial: Trial) -> list[Any]:
    """The responses asked for so far."""
    return trial.sent_of("response.create")


def ids(trial: Trial) -> list[str]:
    """The history's item ids."""
    return [item.item_id for item in trial.transport.history]
