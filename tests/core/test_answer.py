"""What `Turn` does not need of `AnswerWatch`; the rest is in the tests of turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core.answer import AnswerWatch, TurnFailedError
from realtime_core.emitter import Emitter


def done(response_id: str, **more: Any) -> dict[str, Any]:
    return {"response": {"id": response_id, "status": "completed", **more}}


async def test_an_answer_is_not_over_before_a_response_that_was_asked_for_meanwhile():
    transport: Any = Emitter()
    watch = AnswerWatch(transport)
    transport.emit("response.created", {"response": {"id": "1"}})
    watch.expect_response()
    transport.emit("response.done", done("1"))
    waiting = asyncio.create_task(watch.wait_answered())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    transport.emit("response.created", {"response": {"id": "2"}})
    transport.emit("response.done", done("2"))
    await waiting
    assert watch.result.responses == 2


async def test_each_turn_has_its_own_result():
    transport: Any = Emitter()
    watch = AnswerWatch(transport)
    transport.emit("response.done", done("1"))
    first = watch.result
    watch.begin_turn()
    assert (first.responses, watch.result.responses) == (1, 0)
    waiting = asyncio.create_task(watch.wait_answered())
    await asyncio.sleep(0)
    assert not waiting.done()
    transport.emit("response.done", done("2"))
    await waiting


@pytest.mark.parametrize(
    ("details", "code", "told"),
    [
        (
            {"error": {"code": "rate_limit_exceeded", "message": "slow"}},
            "rate_limit_exceeded",
            "slow",
        ),
        ({"error": {"type": "server_error"}, "reason": "why"}, "server_error", "why"),
        ({"type": "incomplete", "reason": "max_output_tokens"}, "incomplete", "max_output_tokens"),
        (None, None, "no reason given"),
    ],
)
async def test_a_response_that_failed_tells_the_servers_code(details: Any, code: Any, told: str):
    transport: Any = Emitter()
    watch = AnswerWatch(transport)
    transport.emit("response.done", done("1", status="failed", status_details=details))
    with pytest.raises(TurnFailedError, match=told) as caught:
        await watch.wait_answered()
    assert caught.value.code == code
