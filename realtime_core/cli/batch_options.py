"""What ``realtime batch`` takes."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from realtime_core.cli.options import (
    SESSION_PANEL,
    ChoosesPlugins,
    Deadline,
    Model,
    NoPlugins,
    Plugin,
    Responder,
    To,
    Turns,
    Voice,
)
from realtime_core.turn import TurnTaking

__all__ = ["BatchArguments", "Pace"]

RUNNING_PANEL = "How it is run"
RESULTS_PANEL = "Results"


class Pace(enum.StrEnum):
    """How fast questions are sent."""

    REALTIME = "realtime"
    FAST = "fast"


@dataclass(frozen=True, kw_only=True)
class BatchArguments(ChoosesPlugins):
    """The command's arguments and options."""

    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS", help="Sound files, folders, globs, or manifests (.jsonl, .csv)."
        ),
    ]
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder of the results.")
    ]
    to: To = "local"
    transport: Annotated[
        str,
        typer.Option(
            "--transport", metavar="NAME", help="webrtc, websocket, memory, or a plugin's."
        ),
    ] = "webrtc"
    taking: Turns = TurnTaking.MANUAL
    pace: Annotated[
        Pace | None,
        typer.Option(
            "--pace",
            help="How questions are sent over a WebSocket: fast (the default), as the server takes "
            "them, or realtime, as they would be spoken.",
        ),
    ] = None
    model: Model = None
    instructions: Annotated[
        str | None,
        typer.Option(
            "--instructions",
            metavar="TEXT",
            help="The instructions of jobs that have none of their own.",
            rich_help_panel=SESSION_PANEL,
        ),
    ] = None
    voice: Voice = None
    responder: Responder = "speech"
    deadline_s: Deadline = 120.0
    max_attempts: Annotated[
        int,
        typer.Option(
            "--attempts",
            min=1,
            metavar="NUMBER",
            help="How often a job is tried that the network fails.",
            rich_help_panel=RUNNING_PANEL,
        ),
    ] = 3
    records_conversation: Annotated[
        bool,
        typer.Option(
            "--conversation/--no-conversation",
            help="Record conversations as heard: user left, agent right.",
            rich_help_panel=RESULTS_PANEL,
        ),
    ] = True
    middlewares: Annotated[
        list[str] | None,
        typer.Option(
            "--middleware",
            metavar="SPEC",
            help="As for realtime run (repeatable).",
            rich_help_panel=SESSION_PANEL,
        ),
    ] = None
    engine: Annotated[
        str,
        typer.Option(
            "--engine", metavar="NAME", help="What runs the jobs.", rich_help_panel=RUNNING_PANEL
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="The engine's cluster; left out: this machine.",
            rich_help_panel=RUNNING_PANEL,
        ),
    ] = None
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=0,
            metavar="NUMBER",
            help="How many workers; left out: one a CPU. 0: none besides this process.",
            rich_help_panel=RUNNING_PANEL,
        ),
    ] = None
    max_sessions: Annotated[
        int | None,
        typer.Option(
            "--max-sessions",
            min=1,
            metavar="NUMBER",
            help="The most at a time; left out: as many as the machine carries in real time.",
            rich_help_panel=RUNNING_PANEL,
        ),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Go on where an earlier start of the same batch ended.",
            rich_help_panel=RUNNING_PANEL,
        ),
    ] = True
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Run jobs again that failed before.",
            rich_help_panel=RUNNING_PANEL,
        ),
    ] = False
    parquet: Annotated[
        bool,
        typer.Option(
            "--parquet",
            help="Write results.parquet too, at the end.",
            rich_help_panel=RESULTS_PANEL,
        ),
    ] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the progress.")
    ] = False
    no_plugins: NoPlugins = False
    plugin: Plugin = None
