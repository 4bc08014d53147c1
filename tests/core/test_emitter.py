"""Listeners are isolated from each other, and events are told in the order in which they happen."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from realtime_core import emitter as emitter_module
from realtime_core.emitter import Emitter
from realtime_core.errors import RealtimeError, TransportError
from realtime_core.events import Emit, ErrorEvent


class Heard:
    """Remembers what its listeners got, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def listener(self, name: str) -> Callable[..., None]:
        return lambda *args: self.told.append((name, *args))


def errors_of(emitter: Emitter) -> list[Exception]:
    """The errors that the emitter reports from now on."""
    errors: list[Exception] = []

    def keep(event: ErrorEvent) -> None:
        assert isinstance(event.error, Exception)
        errors.append(event.error)

    emitter.on("error", keep)
    return errors


def raise_value_error(*args: Any) -> None:
    raise ValueError("no such colour")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# Adding and removing


def test_listeners_hear_every_event_in_the_order_in_which_they_were_added():
    emitter, heard = Emitter(), Heard()
    emitter.on("audio", heard.listener("first"))
    emitter.on("audio", heard.listener("second"))
    emitter.emit("audio", 1)
    emitter.emit("audio", 2)
    assert heard.told == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


def test_on_and_once_return_the_listener_they_are_given():
    emitter = Emitter()
    assert emitter.on("audio", raise_value_error) is raise_value_error
    assert emitter.once("audio", raise_value_error) is raise_value_error


def test_on_and_once_decorate_and_leave_the_function_as_it_was():
    emitter, told = Emitter(), []

    @emitter.on("audio")
    def every(value: int) -> None:
        told.append(("every", value))

    @emitter.once("audio")
    def first(value: int) -> None:
        told.append(("first", value))

    emitter.emit("audio", 1)
    emitter.emit("audio", 2)
    every(3)
    assert told == [("every", 1), ("first", 1), ("every", 2), ("every", 3)]


def test_a_once_listener_is_gone_before_it_is_called():
    emitter, calls = Emitter(), []

    @emitter.once("audio")
    def listener() -> None:
        calls.append(emitter.has_listeners("audio"))
        emitter.emit("audio")

    emitter.emit("audio")
    assert calls == [False]


def test_a_once_listener_that_raises_is_gone_all_the_same():
    emitter = Emitter()
    errors = errors_of(emitter)
    emitter.once("audio", raise_value_error)
    emitter.emit("audio")
    emitter.emit("audio")
    assert len(errors) == 1


def test_off_forgets_a_listener_and_ignores_an_unknown_one():
    emitter, heard = Emitter(), Heard()
    listener = emitter.on("audio", heard.listener("it"))
    emitter.off("audio", listener)
    emitter.off("audio", listener)
    emitter.off("unheard of", listener)
    assert emitter.emit("audio") is False
    assert heard.told == []


def test_off_forgets_a_bound_method_though_each_access_makes_a_new_one():
    class Program:
        def listener(self) -> None:
            raise AssertionError("it was forgotten")

    emitter, program = Emitter(), Program()
    emitter.on("audio", program.listener)
    emitter.off("audio", program.listener)
    assert not emitter.has_listeners("audio")


def test_off_forgets_one_of_two_registrations_of_a_listener():
    emitter, heard = Emitter(), Heard()
    listener = heard.listener("it")
    emitter.on("audio", listener)
    emitter.on("audio", listener)
    emitter.off("audio", listener)
    emitter.emit("audio")
    assert heard.told == [("it",)]


def test_a_listener_added_with_once_and_then_with_on_goes_on_hearing():
    emitter, heard = Emitter(), Heard()
    listener = heard.listener("it")
    emitter.once("audio", listener)
    emitter.on("audio", listener)
    for number in range(3):
        emitter.emit("audio", number)
    assert heard.told == [("it", 0), ("it", 0), ("it", 1), ("it", 2)]


def test_a_listener_added_while_an_event_is_told_hears_the_next_one_first():
    emitter, heard = Emitter(), Heard()
    emitter.once("audio", lambda number: emitter.on("audio", heard.listener("late")))
    emitter.emit("audio", 1)
    emitter.emit("audio", 2)
    assert heard.told == [("late", 2)]


# Emitting


def test_emit_says_whether_anybody_listens():
    emitter = Emitter()
    emitter.once("audio", lambda: None)
    assert emitter.emit("audio") is True
    assert emitter.emit("audio") is False


def test_what_a_listener_makes_happen_is_told_after_what_is_being_told():
    emitter, told = Emitter(), []

    @emitter.on("outer")
    def first() -> None:
        emitter.emit("inner", 1)
        emitter.emit("inner", 2)
        told.append("first")

    emitter.on("outer", lambda: told.append("second"))
    emitter.on("inner", told.append)
    emitter.emit("outer")
    assert told == ["first", "second", 1, 2]


def test_a_nested_emit_still_says_whether_anybody_listens():
    emitter, answers = Emitter(), []
    emitter.on("inner", lambda: None)
    emitter.on("outer", lambda: answers.extend([emitter.emit("inner"), emitter.emit("nobody")]))
    emitter.emit("outer")
    assert answers == [True, False]


def test_an_event_of_ten_thousand_steps_needs_no_deep_stack():
    emitter, counts = Emitter(), []

    @emitter.on("step")
    def step(number: int) -> None:
        counts.append(number)
        if number < 10_000:
            emitter.emit("step", number + 1)

    emitter.emit("step", 1)
    assert counts == list(range(1, 10_001))


# Listeners that raise


def test_a_raising_listener_is_reported_by_name_and_the_others_run():
    emitter, heard = Emitter(), Heard()
    errors = errors_of(emitter)
    emitter.on("audio", heard.listener("before"))
    emitter.on("audio", raise_value_error)
    emitter.on("audio", heard.listener("after"))
    assert emitter.emit("audio") is True
    assert heard.told == [("before",), ("after",)]
    [error] = errors
    assert isinstance(error, RealtimeError)
    assert str(error) == ("listener raise_value_error of 'audio' raised ValueError: no such colour")
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.__traceback__ is not None


def test_a_raising_listener_without_a_name_is_reported_by_its_type():
    emitter = Emitter()
    errors = errors_of(emitter)
    emitter.on("audio", functools.partial(raise_value_error))
    emitter.emit("audio")
    assert "partial" in str(errors[0])


def test_what_a_listener_broke_is_told_after_the_event_it_broke():
    emitter, heard = Emitter(), Heard()
    emitter.on("audio", raise_value_error)
    emitter.on("audio", heard.listener("audio"))
    emitter.on("error", lambda event: heard.told.append(("error",)))
    emitter.emit("audio")
    assert heard.told == [("audio",), ("error",)]


async def test_a_listener_that_asks_a_cancelled_future_does_not_cancel_the_transport():
    emitter, heard = Emitter(), Heard()
    errors = errors_of(emitter)
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    emitter.on("audio", future.result)
    emitter.on("audio", heard.listener("after"))
    emitter.emit("audio")
    assert heard.told == [("after",)]
    assert "CancelledError" in str(errors[0])


def test_a_raising_error_listener_is_logged_and_does_not_go_round(
    caplog: pytest.LogCaptureFixture,
):
    emitter, heard = Emitter(), Heard()
    emitter.on("error", raise_value_error)
    emitter.on("error", heard.listener("after"))
    event = ErrorEvent(RuntimeError("the first"))
    emitter.emit("error", event)
    assert heard.told == [("after", event)]
    [record] = caplog.records
    assert "raise_value_error of 'error' raised ValueError: no such colour" in record.message
    assert record.exc_info is not None


async def test_a_raising_coroutine_error_listener_is_logged_and_does_not_go_round(
    caplog: pytest.LogCaptureFixture,
):
    emitter = Emitter()

    @emitter.on("error")
    async def listener(event: ErrorEvent) -> None:
        raise ValueError("no such colour")

    emitter.emit("error", ErrorEvent(RuntimeError("the first")))
    await emitter._finish_listeners()
    [record] = caplog.records
    assert "raised ValueError: no such colour" in record.message


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((ErrorEvent(TransportError("it broke")),), "TransportError: it broke"),
        ((ErrorEvent({"type": "error", "error": {"message": "no"}}),), "'message': 'no'"),
        ((), "unknown"),
    ],
)
def test_an_error_nobody_hears_is_logged_and_not_raised(
    caplog: pytest.LogCaptureFixture, args: tuple[Any, ...], expected: str
):
    assert Emitter().emit("error", *args) is False
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert expected in record.message


# Coroutine functions


async def test_coroutine_listeners_run_and_none_waits_for_another():
    emitter, told = Emitter(), []
    gate = asyncio.Event()

    @emitter.on("audio")
    async def slow(number: int) -> None:
        await gate.wait()
        told.append(("slow", number))

    @emitter.on("audio")
    async def quick(number: int) -> None:
        told.append(("quick", number))

    assert emitter.emit("audio", 1) is True
    await settle()
    assert told == [("quick", 1)]
    gate.set()
    await emitter._finish_listeners()
    assert told == [("quick", 1), ("slow", 1)]


async def test_a_raising_coroutine_listener_is_reported_by_name():
    emitter = Emitter()
    errors = errors_of(emitter)

    @emitter.on("audio")
    async def listener() -> None:
        await asyncio.sleep(0)
        raise ValueError("no such colour")

    emitter.emit("audio")
    await emitter._finish_listeners()
    [error] = errors
    assert "listener" in str(error)
    assert "of 'audio' raised ValueError: no such colour" in str(error)


def test_a_coroutine_listener_without_a_running_loop_is_reported_and_never_left_unawaited():
    emitter, heard = Emitter(), Heard()
    errors = errors_of(emitter)

    @emitter.on("audio")
    async def listener() -> None:
        raise AssertionError("there is no loop to run it")

    emitter.on("audio", heard.listener("after"))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        emitter.emit("audio")
    assert warned == []
    assert heard.told == [("after",)]
    assert "listener of 'audio' raised RuntimeError: no running event loop" in str(errors[0])


async def test_an_event_emitted_in_a_thread_without_a_loop_is_reported_and_leaves_no_coroutine():
    emitter = Emitter()
    errors = errors_of(emitter)

    @emitter.on("audio")
    async def listener() -> None:
        raise AssertionError("there is no loop in that thread")

    thread = threading.Thread(target=emitter.emit, args=("audio",))
    thread.start()
    thread.join()
    assert "no running event loop" in str(errors[0])


# The end


async def test_the_end_waits_for_what_a_listener_made_another_listener_do():
    emitter, told = Emitter(), []

    @emitter.on("audio")
    async def first() -> None:
        await settle()
        emitter.emit("text")

    @emitter.on("text")
    async def second() -> None:
        await settle()
        told.append("second")

    emitter.emit("audio")
    await emitter._finish_listeners()
    assert told == ["second"]


async def test_the_end_cancels_a_listener_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(emitter_module, "LISTENER_DEADLINE_S", 0.01)
    emitter = Emitter()
    ended = asyncio.Event()

    @emitter.on("audio")
    async def listener() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    emitter.emit("audio")
    await emitter._finish_listeners()
    assert ended.is_set()
    assert "a listener still ran" in caplog.text


async def test_a_listener_that_ends_the_transport_does_not_wait_for_itself():
    emitter = Emitter()
    ended = asyncio.Event()

    @emitter.on("error")
    async def listener(event: ErrorEvent) -> None:
        await emitter._finish_listeners()
        ended.set()

    emitter.emit("error", ErrorEvent(RuntimeError("it broke")))
    async with asyncio.timeout(emitter_module.LISTENER_DEADLINE_S / 2):
        await ended.wait()


async def test_two_listeners_that_end_the_transport_do_not_wait_for_each_other():
    emitter, ended = Emitter(), []

    @emitter.on("error")
    async def first(event: ErrorEvent) -> None:
        await emitter._finish_listeners()
        ended.append("first")

    @emitter.on("error")
    async def second(event: ErrorEvent) -> None:
        await settle()
        await emitter._finish_listeners()
        ended.append("second")

    emitter.emit("error", ErrorEvent(RuntimeError("it broke")))
    async with asyncio.timeout(emitter_module.LISTENER_DEADLINE_S / 2):
        await emitter._finish_listeners()
    assert sorted(ended) == ["first", "second"]


async def test_an_end_without_listeners_is_at_once():
    await Emitter()._finish_listeners()


# The iterator


async def collect(emitter: Emitter) -> list[Emit]:
    return [emit async for emit in emitter.events()]


async def test_events_are_iterated_over_until_disconnected():
    emitter = Emitter()
    collecting = asyncio.create_task(collect(emitter))
    await settle()
    emitter.emit("audio", 1)
    await settle()
    emitter.emit("turn_done", 2)
    emitter.emit("disconnected")
    emitter.emit("audio", 3)
    assert await collecting == [
        Emit("audio", (1,)),
        Emit("turn_done", (2,)),
        Emit("disconnected"),
    ]
    assert not emitter.has_listeners("audio")


async def test_two_iterators_each_see_every_event():
    emitter = Emitter()
    collecting = [asyncio.create_task(collect(emitter)) for _ in range(2)]
    await settle()
    emitter.emit("audio", 1)
    emitter.emit("disconnected")
    first, second = await asyncio.gather(*collecting)
    assert first == second == [Emit("audio", (1,)), Emit("disconnected")]


async def test_an_iterator_sees_nested_events_in_the_order_in_which_they_happen():
    emitter = Emitter()
    emitter.on("outer", lambda: emitter.emit("inner"))
    collecting = asyncio.create_task(collect(emitter))
    await settle()
    emitter.emit("outer")
    emitter.emit("disconnected")
    assert [emit.type for emit in await collecting] == ["outer", "inner", "disconnected"]


async def test_an_iterator_listens_to_everything_so_an_error_it_sees_is_not_logged(
    caplog: pytest.LogCaptureFixture,
):
    emitter = Emitter()
    collecting = asyncio.create_task(collect(emitter))
    await settle()
    assert emitter.has_listeners("audio")
    assert emitter.emit("error", ErrorEvent(RuntimeError("it broke"))) is True
    emitter.emit("disconnected")
    await collecting
    assert caplog.records == []


async def test_a_consumer_too_far_behind_gets_what_was_kept_and_then_an_error(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(emitter_module, "EVENTS_BUFFER", 3)
    emitter = Emitter()
    iterator = emitter.events()
    first = asyncio.create_task(anext(iterator))
    await settle()
    for number in range(5):
        emitter.emit("audio", number)
    kept = [await first, await anext(iterator), await anext(iterator)]
    assert [emit.args for emit in kept] == [(0,), (1,), (2,)]
    with pytest.raises(TransportError, match="more than 3 events behind"):
        await anext(iterator)
    assert not emitter.has_listeners("audio")


async def test_an_iterator_that_has_lost_events_never_looks_whole_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(emitter_module, "EVENTS_BUFFER", 2)
    emitter = Emitter()
    iterator = emitter.events()
    first = asyncio.create_task(anext(iterator))
    await settle()
    for number in range(4):
        emitter.emit("audio", number)
    await first
    emitter.emit("disconnected")  # there is room for it by now
    await anext(iterator)
    with pytest.raises(TransportError, match="behind"):
        await anext(iterator)


async def test_closing_an_iterator_ends_its_listening():
    emitter = Emitter()
    iterator = emitter.events()
    first = asyncio.create_task(anext(iterator))
    await settle()
    emitter.emit("audio")
    await first
    await iterator.aclose()
    assert not emitter.has_listeners("audio")


async def test_cancelling_an_iteration_ends_its_listening():
    emitter = Emitter()
    collecting = asyncio.create_task(collect(emitter))
    await settle()
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    assert not emitter.has_listeners("audio")


# Waiting for one event


async def test_wait_for_gives_what_the_next_such_event_brings():
    emitter = Emitter()
    waiting = asyncio.create_task(emitter.wait_for("turn_done"))
    await settle()
    emitter.emit("audio", 1)
    emitter.emit("turn_done", 2)
    emitter.emit("turn_done", 3)
    assert await waiting == (2,)
    assert not emitter.has_listeners("turn_done")
    assert not emitter.has_listeners("disconnected")


async def test_wait_for_ends_with_the_connection():
    emitter = Emitter()
    waiting = asyncio.create_task(emitter.wait_for("turn_done"))
    await settle()
    emitter.emit("disconnected")
    with pytest.raises(TransportError, match="the connection ended before 'turn_done' came"):
        await waiting


async def test_wait_for_disconnected_ends_with_it():
    emitter = Emitter()
    waiting = asyncio.create_task(emitter.wait_for("disconnected"))
    await settle()
    emitter.emit("disconnected")
    assert await waiting == ()


async def test_wait_for_has_a_deadline_and_leaves_no_listener():
    emitter = Emitter()
    with pytest.raises(TransportError, match=r"no 'turn_done' came within 0.01 s"):
        await emitter.wait_for("turn_done", timeout_s=0.01)
    assert not emitter.has_listeners("turn_done")
