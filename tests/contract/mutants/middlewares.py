"""Middlewares that break the contract."""

from __future__ import annotations

from typing import Any

from realtime_core.audio import AudioFrame
from realtime_core.middleware import EngineStep, EventMiddleware
from tests.contract.mutants.registry import Mutants, leave_a_thread

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class Tap:
    """Whole."""

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        """Look."""

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """Look."""


class Watch:
    """Whole."""

    def attached(self, engine: str) -> None:
        """Look."""

    def entered(self, step: EngineStep) -> None:
        """Look."""

    def raised(self, error: Exception) -> None:
        """Look."""

    def decided(self, events: Any) -> None:
        """Look."""

    def told(self, emits: Any) -> None:
        """Look."""


class Later:
    """What can be awaited, and complains less than a coroutine if it is not."""

    def __await__(self) -> Any:
        yield


class Good(EventMiddleware):
    """Whole; all others are made of it."""

    tap = Tap()
    watch = Watch()


@caught_by("it_never_raises_whatever_comes")
class KnowsAllForms(Good):
    def incoming(self, event: dict[str, Any]) -> Any:
        if event["type"] == "response.done":
            self.last = event["response"]["id"]
        return event


@caught_by("it_returns_events_or_none")
class ReturnsText(Good):
    def incoming(self, event: dict[str, Any]) -> Any:
        return event["type"]


@caught_by("it_returns_events_or_none", "it_is_quiet")
class PrintsAndWaits(Good):
    def incoming(self, event: dict[str, Any]) -> Any:
        print(event["type"])  # noqa: T201 - that is what is wrong with it
        return Later()


@caught_by("it_returns_events_or_none")
class AddsWhatIsNoJson(Good):
    def outgoing(self, event: dict[str, Any]) -> Any:
        return {**event, "seen_by": self}


@caught_by("what_it_has_nothing_to_do_with_passes_unchanged")
class DropsTheUnknown(Good):
    def incoming(self, event: dict[str, Any]) -> Any:
        return None if event["type"].startswith("contract.") else event


@caught_by("what_it_has_nothing_to_do_with_passes_unchanged")
class Stamps(Good):
    def outgoing(self, event: dict[str, Any]) -> Any:
        return {**event, "stamped": True}


@caught_by("it_is_told_of_links_in_any_number")
class KnowsOneLink(Good):
    is_used = False

    def link_opened(self, model: str) -> None:
        if self.is_used:
            raise RuntimeError("used up")
        self.is_used = True


@caught_by("errors_are_taken_at_any_time")
class KnowsOurErrorsOnly(Good):
    def error_reported(self, error: Exception) -> None:
        self.text = error.args[0]


@caught_by("it_has_a_name_for_errors")
class HasNoName(Good):
    name = None  # type: ignore[assignment]


class _Amplifier(Tap):
    def sent(self, frame: AudioFrame, at_s: float) -> None:
        frame.samples[:] *= 2


class _EndsEarly(Tap):
    is_over = False

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        if self.is_over:
            raise ValueError("I/O operation on closed file")


@caught_by("its_tap_looks_and_changes_nothing")
class Amplifies(Good):
    tap = _Amplifier()


@caught_by("its_tap_looks_and_changes_nothing")
class EndsEarly(Good):
    def __init__(self) -> None:
        self.tap = _EndsEarly()  # type: ignore[misc]

    def link_closed(self) -> None:
        self.tap.is_over = True  # type: ignore[attr-defined]


class _KnowsReceiveOnly(Watch):
    def entered(self, step: EngineStep) -> None:
        getattr(self, f"entered_{step.name}")()


@caught_by("its_watch_takes_every_step")
class WatchesReceiveOnly(Good):
    watch = _KnowsReceiveOnly()


@caught_by("it_works_in_a_row_with_others_and_without_being_reported")
class FailsLater(Good):
    def link_closed(self) -> None:
        raise OSError("disk full")


@caught_by("the_end_of_the_link_releases_everything")
class LeavesAThread(Good):
    def link_opened(self, model: str) -> None:
        leave_a_thread()
