"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from realtime_core.cli.exit_codes import exit_with
from realtime_core.turn import TurnTaking

__all__ = ["app"]

app = typer.Typer(
    name="realtime",
    help="Talk to realtime voice models: a file over WebRTC, or a local server to try it on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with locals could show a key
)

NoPlugins = Annotated[
    bool, typer.Option("--no-plugins", help="Use only what this distribution brings.")
]
Plugin = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
    typer.Option("--plugin", metavar="NAME", help="Allow only these plugins (repeatable)."),
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"realtime-transports {version('realtime-transports')}")
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log more; twice: every wire event.")
    ] = 0,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Set up logging."""
    from realtime_core.cli.logs import set_up_logging

    set_up_logging(verbose)


@app.command()
def run(
    question: Annotated[
        Path,
        typer.Argument(
            metavar="QUESTION",
            help="What the user says: a sound file, - for raw PCM on standard input (16 bit, mono, "
            "24 kHz), or an audio source such as mic:, tone:440 or pcm:-?rate=16000.",
        ),
    ],
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
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="local (a server inside this process), openai, or a URL: a base ending in /v1 "
            "or the full endpoint.",
        ),
    ] = "local",
    turns: Annotated[
        TurnTaking, typer.Option(help="Who ends the user's turn: manual (the file's end) or vad.")
    ] = TurnTaking.MANUAL,
    stereo: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="FILE", help="Record the conversation as heard: user left, agent right (WAV)."
        ),
    ] = None,
    model: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="NAME", help="The model; left out: the default of OpenAI's SDKs."),
    ] = None,
    instructions: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="TEXT", help="The session's instructions."),
    ] = None,
    voice: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="NAME", help="The model's voice."),
    ] = None,
    responder: Annotated[
        str, typer.Option(metavar="NAME", help="Who answers on the local server.")
    ] = "parrot",
    deadline: Annotated[
        float,
        typer.Option(
            min=1.0, metavar="SECONDS", help="How long the answer may take, to its last sound."
        ),
    ] = 120.0,
    middleware: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            "--middleware",
            metavar="SPEC",
            help="Put a middleware before the wire, such as record:call.jsonl or metrics "
            "(repeatable; the first is the nearest to the program).",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the report.")
    ] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """Send a recording as one spoken turn and keep the spoken answer.

    The key comes from OPENAI_API_KEY for openai, and from REALTIME_API_KEY for a URL.
    """
    from realtime_core.cli.run import RunOptions, run_file
    from realtime_core.cli.streams import standard_output_for

    options = RunOptions(
        question=question,
        out=out,
        to=to,
        taking=turns,
        stereo=stereo,
        model=model,
        instructions=instructions,
        voice=voice,
        responder=responder,
        deadline_s=deadline,
        as_json=as_json,
        allow=_allowed(no_plugins, plugin),
        middlewares=tuple(middleware or ()),
    )
    with standard_output_for(out):
        exit_with(run_file(options), as_json=as_json)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes any free one.")
    ] = 8080,
    responder: Annotated[str, typer.Option(metavar="NAME", help="Who answers.")] = "parrot",
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """Run a local Realtime server until it is interrupted."""
    from realtime_core.cli.serve import serve_until_stopped

    exit_with(serve_until_stopped(host, port, responder, _allowed(no_plugins, plugin)))


@app.command()
def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """List the plugins: what they bring, and why one could not be loaded."""
    from realtime_core.cli.list_plugins import list_plugins

    exit_with(list_plugins(_allowed(no_plugins, plugin), as_json=as_json), as_json=as_json)


@app.command()
def replay(
    record: Annotated[
        Path, typer.Argument(metavar="RECORD", help="What the record middleware wrote.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """Feed a record to the engine again, and say where it now does something else.

    The exit code is 0 when all is as recorded, 1 at a difference, 2 when it is no record.
    """
    from realtime_core.cli.replay import replay_record

    exit_with(replay_record(record, _allowed(no_plugins, plugin), as_json=as_json), as_json=as_json)


@app.command()
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """List the audio devices that mic: and speaker: can use, by index or part of the name."""
    from realtime_core.cli.devices import list_devices

    exit_with(list_devices(_allowed(no_plugins, plugin), as_json=as_json), as_json=as_json)


def _allowed(no_plugins: bool, plugin: list[str] | None) -> list[str] | None:
    return [] if no_plugins else plugin
