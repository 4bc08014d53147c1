"""Fixtures that run in the test's event loop. Loaded only where pytest-asyncio is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime_core.testing.leaks import LoopLeakWatch

__all__ = ["realtime_leaks_in_loop"]


@pytest_asyncio.fixture
async def realtime_leaks_in_loop() -> AsyncIterator[None]:
    """`realtime_leaks` for a coroutine test."""
    watch = LoopLeakWatch()
    yield
    if left := await watch.find_in_loop():
        pytest.fail(f"the test left {left}")
