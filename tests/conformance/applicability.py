"""What is not compared at all, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.case import Scene

__all__ = ["NOT_APPLICABLE", "why_not_applicable"]


def _calls_internals(scene: Scene) -> bool:
    reactions = [observer.get("do", {}) for observer in scene.observers]
    calls = [str(step.get("call", "")) for step in (*scene.steps, *reactions)]
    properties = [str(step.get(kind, "")) for step in scene.steps for kind in ("get", "set")]
    return any(name.startswith("_") for name in (*calls, *properties))


def _has_no_such_platform(scene: Scene) -> bool:
    return bool(scene.fakes.keys() & {"noRTCPeerConnection", "noStructuredClone"})


def _has_source_without_tracks(scene: Scene) -> bool:
    stream = scene.options.get("mediaStream")
    spec: Any = stream.get("$mediaStream") if isinstance(stream, dict) else None
    tracks = spec.get("tracks", 1) if isinstance(spec, dict) else 1
    return tracks == 0 or scene.fakes.get("micTracks", 1) == 0


NOT_APPLICABLE: tuple[tuple[Callable[[Scene], bool], str], ...] = (
    (_calls_internals, "calls an internal method of the reference, which has no counterpart"),
    (_has_no_such_platform, "is about a JavaScript platform without WebRTC or structuredClone"),
    (
        _has_source_without_tracks,
        "a media stream without an audio track has no counterpart: a source is one track",
    ),
)
"""Predicates on what a case does, each with the reason."""


def why_not_applicable(scene: Scene) -> str | None:
    """The reason not to compare a case; None when there is none."""
    return next((reason for applies, reason in NOT_APPLICABLE if applies(scene)), None)
