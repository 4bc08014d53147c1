"""The commands; what they take and what they do is in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realtime_core.cli.batch_options import BatchArguments
from realtime_core.cli.command import Command, Group
from realtime_core.cli.exit_codes import exit_with
from realtime_core.cli.options import NoPlugins, Plugin, allowed, taking
from realtime_core.cli.run_options import RunOptions
from realtime_core.cli.serve_options import ServeOptions

__all__ = ["app"]

app = typer.Typer(
    name="realtime",
    cls=Group,
    help="Talk to realtime voice models: one recording, or thousands; or a local server to try it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with locals could show a key
)


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


@app.command(cls=Command)
@taking(RunOptions)
def run(options: RunOptions) -> None:
    """Send a recording as one spoken turn and keep the spoken answer.

    The key comes from OPENAI_API_KEY for openai, and from REALTIME_API_KEY for a URL.
    """
    from realtime_core.cli.run import run_file
    from realtime_core.cli.streams import standard_output_for

    with standard_output_for(options.out):
        exit_with(run_file(options), as_json=options.as_json)


@app.command(cls=Command)
@taking(BatchArguments)
def batch(arguments: BatchArguments) -> None:
    """Have a conversation for each recording, and write down what came of it.

    The key comes from OPENAI_API_KEY for openai, and from REALTIME_API_KEY for a URL.
    """
    from realtime_core.cli.batch import run_batch_command

    exit_with(run_batch_command(arguments), as_json=arguments.as_json)


@app.command(cls=Command)
def report(
    dir: Annotated[  # noqa: A002 - typer makes the argument's name of it
        Path, typer.Argument(metavar="DIR", help="The results that realtime batch has written.")
    ],
    dir2: Annotated[
        Path | None,
        typer.Argument(metavar="DIR2", help="Those of another run, to tell what changed."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page; left out: report.html in DIR, or comparison.html beside DIR2.",
        ),
    ] = None,
    embed: Annotated[
        str | None,
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


@app.command(cls=Command)
@taking(ServeOptions)
def serve(options: ServeOptions) -> None:
    """Run a local Realtime server until it is interrupted."""
    from realtime_core.cli.serve import serve_until_stopped

    exit_with(serve_until_stopped(options), as_json=options.as_json)


@app.command(cls=Command)
def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """List the plugins: what they bring, and why one could not be loaded."""
    from realtime_core.cli.list_plugins import list_plugins

    exit_with(list_plugins(allowed(no_plugins, plugin), as_json=as_json), as_json=as_json)


@app.command(cls=Command)
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

    exit_with(replay_record(record, allowed(no_plugins, plugin), as_json=as_json), as_json=as_json)


@app.command(cls=Command)
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    no_plugins: NoPlugins = False,
    plugin: Plugin = None,
) -> None:
    """List the audio devices that mic: and speaker: can use, by index or part of the name."""
    from realtime_core.cli.devices import list_devices

    exit_with(list_devices(allowed(no_plugins, plugin), as_json=as_json), as_json=as_json)
