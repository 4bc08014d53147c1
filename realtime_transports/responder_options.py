"""What may be written behind the names of the local server's responders.

This is not in `realtime_transports.local_server`, which loads a web server: plugins are listed
without one.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from realtime_core.specs import SpecOptions

__all__ = ["ScriptOptions", "SpeechOptions", "ToneOptions"]

ENGINE = "a speech engine of a plugin, or hum; left out: local, or hum where it is not installed"


class SpeechOptions(SpecOptions):
    """A responder that hears and speaks."""

    rules: str | None = Field(None, min_length=1, description="a file with rules of what to answer")
    engine: str | None = Field(None, min_length=1, description=ENGINE)


class ScriptOptions(SpecOptions):
    """The same, with rules."""

    spec_argument: ClassVar[str | None] = "rules"

    rules: str = Field(
        min_length=1,
        description="a file with rules of what to answer",
        examples=["'script:rules.yaml'"],
    )
    engine: str | None = Field(None, min_length=1, description=ENGINE)


class ToneOptions(SpecOptions):
    """A sine, whatever is asked."""

    spec_argument: ClassVar[str | None] = "hz"

    hz: float = Field(440.0, gt=0, lt=12_000, description="frequency in Hz")
    seconds: float = Field(1.0, ge=0, le=600, description="how long it lasts")
