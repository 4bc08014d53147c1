"""Calls that may block are made beside the loop, and nobody waits for them for ever."""

import asyncio
import threading

import pytest

from realtime_audio_plugins.threads import call_in_thread
from realtime_core.errors import AudioError


class Blocking:
    """A call that returns when it is told to."""

    def __init__(self, result="result"):
        self.may_return = threading.Event()
        self.result = result
        self.undone = []
        self.was_undone = threading.Event()

    def __call__(self):
        assert self.may_return.wait(10)
        return self.result

    def undo(self, result):
        self.undone.append(result)
        self.was_undone.set()


def failing():
    raise ZeroDivisionError("no")


async def test_a_result_comes_from_another_thread():
    name = await call_in_thread(
        lambda: threading.current_thread().name, undo=print, timeout_s=10, what="it"
    )
    assert name == "realtime-audio-call"


async def test_what_the_call_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        await call_in_thread(failing, undo=print, timeout_s=10, what="it")


async def test_a_call_that_takes_too_long_is_given_up_and_undone_later():
    call = Blocking()
    with pytest.raises(AudioError, match=r"the speaker did not answer within 0\.01 s"):
        await call_in_thread(call, undo=call.undo, timeout_s=0.01, what="the speaker")
    assert not call.undone
    call.may_return.set()
    assert call.was_undone.wait(10)
    assert call.undone == ["result"]


async def test_a_call_that_is_cancelled_is_undone_when_it_returns():
    call = Blocking()
    waiting = asyncio.create_task(call_in_thread(call, undo=call.undo, timeout_s=10, what="it"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    call.may_return.set()
    assert call.was_undone.wait(10)


async def test_a_call_cancelled_in_the_moment_it_returns_is_undone_once():
    call = Blocking()
    waiting = asyncio.create_task(call_in_thread(call, undo=call.undo, timeout_s=10, what="it"))
    await asyncio.sleep(0)
    (thread,) = (t for t in threading.enumerate() if t.name == "realtime-audio-call")
    call.may_return.set()
    thread.join(10)  # it has returned, and the loop does not know yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.undone == ["result"]


async def test_a_late_failure_of_a_call_that_was_given_up_troubles_nobody():
    may_fail = threading.Event()

    def fail():
        may_fail.wait(10)
        raise ZeroDivisionError

    with pytest.raises(AudioError):
        await call_in_thread(fail, undo=print, timeout_s=0.01, what="it")
    may_fail.set()
