"""Who catches whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

BrokenT = TypeVar("BrokenT")


_left: list[tuple[threading.Event, threading.Thread]] = []


def leave_a_thread() -> None:
    """Start a thread that goes on until `end_left_threads`."""
    ending = threading.Event()
    thread = threading.Thread(target=ending.wait, name="left", daemon=True)
    thread.start()
    _left.append((ending, thread))


def end_left_threads() -> None:
    """Clean up behind the broken."""
    while _left:
        ending, thread = _left.pop()
        ending.set()
        thread.join()


class Mutant(NamedTuple):
    """A broken thing."""

    make: Callable[..., Any]
    caught_by: str
    """The test that must fail on it."""

    @property
    def name(self) -> str:
        return f"{self.make.__name__} by {self.caught_by}"


class Mutants:
    """The broken things of one kind."""

    def __init__(self) -> None:
        self.all: list[Mutant] = []

    def caught_by(self, *tests: str) -> Callable[[BrokenT], BrokenT]:
        """Note a class or factory as broken, and which test must fail on it."""

        def note(broken: BrokenT) -> BrokenT:
            self.all += [Mutant(broken, f"test_{test}") for test in tests]  # type: ignore[arg-type]
            return broken

        return note
