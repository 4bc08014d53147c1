"""What ``realtime run`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from realtime_core.cli.options import (
    SESSION_PANEL,
    ChoosesPlugins,
    Deadline,
    Instructions,
    Model,
    NoPlugins,
    Plugin,
    Question,
    Responder,
    To,
    Turns,
    Voice,
)
from realtime_core.turn import TurnTaking

__all__ = ["RunOptions"]


@dataclass(frozen=True, kw_only=True)
class RunOptions(ChoosesPlugins):
    """The command's arguments and options."""

    question: Question
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where the answer goes: a file (.wav, .flac, .ogg, .opus), - for raw PCM on "
            "standard output (all text then goes to standard error), or an audio sink such as "
            "speaker:.",
        ),
    ]
    to: To = "local"
    taking: Turns = TurnTaking.MANUAL
    stereo: Annotated[
        Path | None,
        typer.Option(
            "--stereo",
            metavar="FILE",
            help="Record the conversation as heard: user left, agent right (.wav, .flac, .ogg, "
            ".opus).",
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Make a page of the conversation: sound, transcript, figures.",
        ),
    ] = None
    model: Model = None
    instructions: Instructions = None
    voice: Voice = None
    responder: Responder = "speech"
    deadline_s: Deadline = 120.0
    middlewares: Annotated[
        list[str] | None,
        typer.Option(
            "--middleware",
            metavar="SPEC",
            help="Put a middleware before the wire, such as record:call.jsonl or metrics "
            "(repeatable; the first is the nearest to the program).",
            rich_help_panel=SESSION_PANEL,
        ),
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the report.")
    ] = False
    no_plugins: NoPlugins = False
    plugin: Plugin = None
