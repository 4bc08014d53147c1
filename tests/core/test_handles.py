from __future__ import annotations

import asyncio

import pytest

from realtime_core.errors import ResponseError
from realtime_core.handles import ResponseHandle

REFUSED = ResponseError("refused", code="invalid_value")


async def waiting(handle: ResponseHandle) -> asyncio.Task[str | None]:
    """A task that waits for a handle already."""
    task = asyncio.create_task(handle.wait_created())
    await asyncio.sleep(0)
    return task


async def test_who_waits_gets_the_result_when_it_comes():
    handle = ResponseHandle()
    tasks = [await waiting(handle) for _ in range(2)]
    handle.settle("resp_1")
    assert await asyncio.gather(*tasks) == ["resp_1", "resp_1"]


async def test_who_comes_later_gets_the_result_at_once():
    handle = ResponseHandle()
    assert (handle.is_settled, handle.result) == (False, None)
    handle.settle(None)
    assert handle.is_settled
    assert await handle.wait_created() is None


async def test_a_failure_is_raised_to_all_who_wait_and_needs_not_be_told():
    handle = ResponseHandle()
    tasks = [await waiting(handle) for _ in range(2)]
    assert handle.fail(REFUSED)
    for task in tasks:
        with pytest.raises(ResponseError, match="refused"):
            await task


async def test_a_failure_for_which_nobody_waits_is_to_be_told_and_raised_later_too():
    handle = ResponseHandle()
    assert not handle.fail(REFUSED)
    assert handle.error is REFUSED
    with pytest.raises(ResponseError, match="refused"):
        await handle.wait_created()


async def test_the_first_outcome_counts():
    handle = ResponseHandle()
    handle.settle("resp_1")
    handle.settle("resp_2")
    handle.fail(REFUSED)
    assert (await handle.wait_created(), handle.error) == ("resp_1", None)


def test_a_failure_after_a_good_outcome_is_to_be_told():
    handle = ResponseHandle()
    handle.settle("resp_1")
    assert not handle.fail(REFUSED)


def test_a_second_failure_needs_not_be_told():
    handle = ResponseHandle()
    handle.fail(REFUSED)
    assert handle.fail(REFUSED)


async def test_cancelling_a_wait_leaves_the_handle_and_other_waits_alone():
    handle = ResponseHandle()
    task, other = await waiting(handle), await waiting(handle)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    handle.settle("resp_1")
    assert await other == "resp_1"


async def test_one_whose_wait_was_cancelled_learns_nothing_by_waiting():
    handle = ResponseHandle()
    task = await waiting(handle)
    task.cancel()
    assert not handle.fail(REFUSED)
    await asyncio.gather(task, return_exceptions=True)


async def test_a_wait_may_have_a_deadline():
    handle = ResponseHandle()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(handle.wait_created(), 0)
    handle.settle("resp_1")
    assert await handle.wait_created() == "resp_1"
