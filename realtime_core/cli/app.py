"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from realtime_core.cli.exit_codes import exit_with
from realtime_core.turn import TurnTaking

__all__ = ["app"]

app = typer.Typer(
    name="realtime",
    help="Talk to realtime voice models: one recording, or thousands; or a local server to try it.",
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


class Pace(enum.StrEnum):
    """How fast questions are sent."""

    REALTIME = "realtime"
    FAST = "fast"


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
    report: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="FILE", help="Make a page of the conversation: sound, transcript, figures."
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
    ] = "speech",
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
        report=report,
    )
    with standard_output_for(out):
        exit_with(run_file(options), as_json=as_json)


@app.command()
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS...",
            help="Sound files, folders, globs, or manifests (.jsonl, .csv).",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder of the results.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="local (a server inside this process), openai, or a URL: a base ending in /v1 "
            "or the full endpoint.",
        ),
    ] = "local",
    transport: Annotated[
        str, typer.Option(metavar="NAME", help="webrtc, websocket, memory, or a plugin's.")
    ] = "webrtc",
    turns: Annotated[
        TurnTaking, typer.Option(help="Who ends the user's turns: manual (the file's end) or vad.")
    ] = TurnTaking.MANUAL,
    pace: Annotated[
        Optional[Pace],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            help="How questions are sent over a WebSocket: fast (the default), as the server takes "
            "them, or realtime, as they would be spoken."
        ),
    ] = None,
    model: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="NAME", help="The model; left out: the default of OpenAI's SDKs."),
    ] = None,
    instructions: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="TEXT", help="The instructions of jobs that have none of their own."),
    ] = None,
    voice: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="NAME", help="The model's voice."),
    ] = None,
    responder: Annotated[
        str, typer.Option(metavar="NAME", help="Who answers on the local server.")
    ] = "speech",
    deadline: Annotated[
        float,
        typer.Option(
            min=1.0, metavar="SECONDS", help="How long an answer may take, to its last sound."
        ),
    ] = 120.0,
    attempts: Annotated[
        int,
        typer.Option(
            min=1, metavar="NUMBER", help="How often a job is tried that the network fails."
        ),
    ] = 3,
    conversation: Annotated[
        bool, typer.Option(help="Record conversations as heard: user left, agent right.")
    ] = True,
    middleware: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--middleware", metavar="SPEC", help="As for realtime run (repeatable)."),
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="What runs the jobs.")] = "local",
    address: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="ADDRESS", help="The engine's cluster; left out: this machine."),
    ] = None,
    processes: Annotated[
        Optional[int],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            min=0, metavar="NUMBER", help="Left out: one a CPU. 0: none besides this one."
        ),
    ] = None,
    max_sessions: Annotated[
        Optional[int],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="The most at a time; left out: as many as the machine carries in real time.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on where an earlier start of the same batch ended.")
    ] = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run jobs again that failed before.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write results.parquet too, at the end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the progress.")
    ] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """Have a conversation for each recording, and write down what came of it.

    The key comes from OPENAI_API_KEY for openai, and from REALTIME_API_KEY for a URL.
    """
    from realtime_core.cli.batch import BatchArguments, run_batch_command

    arguments = BatchArguments(
        inputs=tuple(inputs),
        out=out,
        to=to,
        transport=transport,
        taking=turns,
        pace=None if pace is None else pace.value,
        model=model,
        instructions=instructions,
        voice=voice,
        responder=responder,
        deadline_s=deadline,
        max_attempts=attempts,
        records_conversation=conversation,
        middlewares=tuple(middleware or ()),
        engine=engine,
        address=address,
        processes=processes,
        max_sessions=max_sessions,
        resume=resume,
        retry_failed=retry_failed,
        parquet=parquet,
        as_json=as_json,
        allow=_allowed(no_plugins, plugin),
    )
    exit_with(run_batch_command(arguments), as_json=as_json)


@app.command()
def report(
    dir: Annotated[  # noqa: A002 - typer makes the argument's name of it
        Path, typer.Argument(metavar="DIR", help="The results that realtime batch has written.")
    ],
    dir2: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Argument(metavar="DIR2", help="Those of another run, to tell what changed."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page; left out: report.html in DIR, or comparison.html beside DIR2.",
        ),
    ] = None,
    embed: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="all|none|N",
            help="How many conversations have their audio inside the page; left out: up to 50. "
            "That of the others lies beside it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make one HTML page of a run's results, or of what changed between two runs."""
    from realtime_core.cli.report import ReportOptions, make_report

    folders = (dir,) if dir2 is None else (dir, dir2)
    options = ReportOptions(folders=folders, out=out, embed=embed, as_json=as_json)
    exit_with(make_report(options), as_json=as_json)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes any free one.")
    ] = 8080,
    responder: Annotated[str, typer.Option(metavar="NAME", help="Who answers.")] = "speech",
    api_key: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="KEY",
            envvar="REALTIME_SERVE_API_KEY",
            help="The one key that is taken; left out: any. The variable keeps it out of the list "
            "of processes.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what the real API refuses.")
    ] = False,
    allowed_host: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="NAME", help="A name, besides this machine's, it is reached by (repeatable)."
        ),
    ] = None,
    allowed_origin: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="ORIGIN", help="Whose pages, besides this machine's, may use it (repeatable)."
        ),
    ] = None,
    fault: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="FAULT", help="What it does wrong, such as latency=200ms (repeatable)."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="The same gives the same losses.")
    ] = 0,
    max_sessions: Annotated[
        Optional[int],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(min=1, metavar="NUMBER", help="How many at a time; left out: 64."),
    ] = None,
    max_session: Annotated[
        Optional[float],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(min=0.1, metavar="SECONDS", help="How long one may run; left out: an hour."),
    ] = None,
    max_idle: Annotated[
        Optional[float],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(min=0.1, metavar="SECONDS", help="How long nothing may happen in one."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only where it is.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for all that happens.")
    ] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """Run a local Realtime server until it is interrupted."""
    from realtime_core.cli.serve import ServeOptions, serve_until_stopped

    asked = {
        "api_key": api_key,
        "strict": strict or None,
        "allowed_hosts": allowed_host,
        "allowed_origins": allowed_origin,
        "faults": fault,
        "seed": seed or None,
        "max_sessions": max_sessions,
        "max_session_s": max_session,
        "max_idle_s": max_idle,
    }
    options = ServeOptions(
        host=host,
        port=port,
        responder=responder,
        allow=_allowed(no_plugins, plugin),
        extra={name: value for name, value in asked.items() if value is not None},
        is_quiet=quiet,
        as_json=as_json,
    )
    exit_with(serve_until_stopped(options), as_json=as_json)


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
