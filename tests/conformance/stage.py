"""Plays the steps of a case, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.recorder import Recorder
from tests.conformance.values import decode, id_number
from tests.conformance.virtual_loop import settle

__all__ = ["Stage", "UnknownStepError", "environment_without_account"]


class UnknownStepError(Exception):
    """The case does something that this runner cannot do."""


class Stage:
    """A case while it is played."""

    def __init__(self, scene: Scene, recorder: Recorder) -> None:
        """Begin before the first step."""
        self.scene = scene
        self.recorder = recorder

    async def play(self, do: Callable[[Mapping[str, Any]], Any]) -> None:
        """Do each step, and after it whatever can run.

        Args:
            do: Does one step; a function or a coroutine function.
        """
        for index, step in enumerate(self.scene.steps):
            self.recorder.step = index
            waiting = do(step)
            if waiting is not None:
                await waiting
            if not step.get("sameTick"):
                await settle()
        self.recorder.is_over = True

    def decode(self, value: Any) -> Any:
        """Decode what a step says, with the ids that this transport gave in place of recorded."""
        return self._own_ids(decode(value))

    def _own_ids(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._own_ids(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._own_ids(item) for item in value]
        wanted = id_number(value, recorded=True)
        if wanted is None:
            return value
        given = (sent.event.get("event_id") for sent in self.recorder.trace.sent)
        return next((own for own in given if id_number(own) == wanted), value)


@contextmanager
def environment_without_account() -> Iterator[None]:
    """Hide what the user's environment says about an account."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if "OPENAI" in name}
    try:
        yield
    finally:
        os.environ.update(hidden)
