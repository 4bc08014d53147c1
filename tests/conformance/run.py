"""Plays one case and judges it."""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from tests.conformance.applicability import why_not_applicable
from tests.conformance.case import Case, Scene
from tests.conformance.compare import difference
from tests.conformance.recorder import Recorder
from tests.conformance.rules import RULES, Rule
from tests.conformance.sequencer_driver import play_sequencer
from tests.conformance.sip_driver import play_sip
from tests.conformance.stage import Stage, environment_without_account
from tests.conformance.trace import Trace
from tests.conformance.util_driver import play_util
from tests.conformance.virtual_loop import VirtualLoop, run_virtually
from tests.conformance.webrtc_driver import play_webrtc
from tests.conformance.websocket_driver import play_websocket

__all__ = ["DRIVERS", "Driver", "Outcome", "judge", "run_case"]

Driver = Callable[[Stage, VirtualLoop], Coroutine[Any, Any, None]]

DRIVERS: dict[str, Driver] = {
    "webrtc": play_webrtc,
    "websocket": play_websocket,
    "sip": play_sip,
    "sequencer": play_sequencer,
    "util": play_util,
}
"""How a case of each transport is played. What is not here does not exist yet."""

TIME_LIMIT_S = 10.0
"""Real time for one case; they take milliseconds."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    kind: Literal["passed", "differs", "failed", "pending", "not_applicable"]
    detail: str = ""
    """What differs, or why nothing was compared."""
    quirk: str | None = None
    """The oddity of the reference that explains the difference."""


class _TimeLimitError(KeyboardInterrupt):
    """Derived from what asyncio lets through from anywhere."""


def run_case(
    case: Case,
    *,
    rules: Sequence[Rule] = RULES,
    drivers: Mapping[str, Driver] = DRIVERS,
    time_limit_s: float = TIME_LIMIT_S,
) -> Outcome:
    """Play a case and judge it. Whatever goes wrong is the case's failure.

    Args:
        case: The case.
        rules: The deliberate differences.
        drivers: How to play a transport.
        time_limit_s: Real time that it may take.
    """
    if case.broken:
        return Outcome("failed", case.broken)
    try:
        return _run(case, rules, drivers, time_limit_s)
    except _TimeLimitError:
        return Outcome("failed", f"still running after {time_limit_s:g} s of real time")
    except Exception as exc:  # one broken case must not end the run
        return Outcome("failed", f"the case could not be played: {type(exc).__name__}: {exc}")


def _run(
    case: Case, rules: Sequence[Rule], drivers: Mapping[str, Driver], time_limit_s: float
) -> Outcome:
    scene = case.scene
    reason = why_not_applicable(scene)
    if reason:
        return Outcome("not_applicable", reason)
    driver = drivers.get(scene.transport)
    if driver is None:
        return Outcome("pending", f"there is no transport {scene.transport} yet")
    expected = case.expected()
    with _limited(time_limit_s):
        actual = _play(scene, driver)
    return judge(scene, expected, actual, rules)


def _play(scene: Scene, driver: Driver) -> Trace:
    recorder = Recorder()

    async def main(loop: VirtualLoop) -> None:
        loop.set_exception_handler(recorder.uncaught)
        await driver(Stage(scene, recorder), loop)

    with environment_without_account():
        run_virtually(main)
    return recorder.trace


def judge(scene: Scene, expected: Trace, actual: Trace, rules: Sequence[Rule]) -> Outcome:
    """Compare as recorded, and if that fails, as the rules rewrite it."""
    found = difference(expected, actual)
    if not found:
        return Outcome("passed")
    applied = _applied(scene, expected, rules)
    if not applied:
        return Outcome("failed", found)
    still = difference(_rewrite(scene, expected, applied), actual)
    if still:
        names = ", ".join(rule.quirk for rule in applied)
        return Outcome("failed", f"{found}\nand with the rules for {names}:\n{still}")
    return Outcome("differs", found, _needed(scene, expected, actual, applied).quirk)


def _applied(scene: Scene, expected: Trace, rules: Sequence[Rule]) -> list[Rule]:
    """Those that change something, which may be what others have rewritten."""
    rewritten, applied = expected, []
    for rule in rules:
        before, rewritten = rewritten, _rewrite(scene, rewritten, [rule])
        if rewritten != before:
            applied.append(rule)
    return applied


def _rewrite(scene: Scene, expected: Trace, rules: Sequence[Rule]) -> Trace:
    rewritten = copy.deepcopy(expected)
    for rule in rules:
        rule.rewrite(scene, rewritten)
    return rewritten


def _needed(scene: Scene, expected: Trace, actual: Trace, applied: list[Rule]) -> Rule:
    """The first rule that the case does not pass without; a case counts for one oddity only."""
    for rule in applied:
        others = [other for other in applied if other is not rule]
        if difference(_rewrite(scene, expected, others), actual):
            return rule
    return applied[0]


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Break off after some real time, where the platform can; nests in another such limit."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _TimeLimitError

    handler = signal.signal(signal.SIGALRM, stop)
    outer_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if outer_s:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, outer_s - (seconds - left_s)))
