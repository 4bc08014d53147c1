"""What ``realtime serve`` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from realtime_core.cli.options import ChoosesPlugins, NoPlugins, Plugin

__all__ = ["ServeOptions"]


@dataclass(frozen=True, kw_only=True)
class ServeOptions(ChoosesPlugins):
    """The command's options."""

    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, metavar="PORT", help="0 takes any free one."),
    ] = 8080
    responder: Annotated[str, typer.Option("--responder", metavar="NAME", help="Who answers.")] = (
        "speech"
    )
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            envvar="REALTIME_SERVE_API_KEY",
            help="The one key that is taken; left out: any. The variable keeps it out of the list "
            "of processes.",
        ),
    ] = field(default=None, repr=False)
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what the real API refuses.")] = (
        False
    )
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A name, besides this machine's, it is reached by (repeatable).",
        ),
    ] = None
    allowed_origins: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-origin",
            metavar="ORIGIN",
            help="Whose pages, besides this machine's, may use it (repeatable).",
        ),
    ] = None
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="What it does wrong, such as latency=200ms (repeatable).",
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="NUMBER", help="The same gives the same losses."),
    ] = 0
    max_sessions: Annotated[
        int | None,
        typer.Option(
            "--max-sessions", min=1, metavar="NUMBER", help="How many at a time; left out: 64."
        ),
    ] = None
    max_session_s: Annotated[
        float | None,
        typer.Option(
            "--max-session",
            min=0.1,
            metavar="SECONDS",
            help="How long one may run; left out: an hour.",
        ),
    ] = None
    max_idle_s: Annotated[
        float | None,
        typer.Option(
            "--max-idle",
            min=0.1,
            metavar="SECONDS",
            help="How long nothing may happen in one.",
        ),
    ] = None
    is_quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only where it is.")] = False
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for all that happens.")
    ] = False
    no_plugins: NoPlugins = False
    plugin: Plugin = None

    def extra(self) -> dict[str, Any]:
        """What goes to the server as it is.

        What was not asked for is left out, so that a server that does not know it can be run.
        """
        names = (
            "api_key",
            "strict",
            "allowed_hosts",
            "allowed_origins",
            "faults",
            "seed",
            "max_sessions",
            "max_session_s",
            "max_idle_s",
        )
        given = {name: getattr(self, name) for name in names}
        # Each of them is falsy where it was not asked for, and nowhere else: an empty key is told.
        return {name: value for name, value in given.items() if value or value == ""}
