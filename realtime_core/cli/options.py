"""How a command gets its options, and those that several commands share.

The options of a command with many are a frozen dataclass. Its fields are annotated as typer wants
the parameters of a function, in the order in which ``--help`` is to show them.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar, get_type_hints

import typer

from realtime_core.hookspecs import ENTRY_POINT_GROUP
from realtime_core.turn import TurnTaking

__all__ = [
    "SESSION_PANEL",
    "ChoosesPlugins",
    "Deadline",
    "Instructions",
    "Model",
    "NoPlugins",
    "Plugin",
    "Question",
    "Responder",
    "To",
    "Turns",
    "Voice",
    "allowed",
    "taking",
]

SESSION_PANEL = "Session"
PLUGINS_PANEL = "Plugins"
"""Where ``--help`` shows an option; each panel has columns of its own, so that none is crowded."""

Options = TypeVar("Options")


def _known_plugins(names: list[str] | None) -> list[str] | None:
    """Refuse to allow what is not there: a name that is misspelt would allow nothing."""
    known = sorted({each.name for each in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)})
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"there is no plugin {name!r}; there are: {', '.join(known)}")
    return names


Question: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="QUESTION",
        help="What the user says: a sound file, - for raw PCM on standard input (16 bit, mono, "
        "24 kHz), or an audio source such as mic:, tone:440?seconds=2 or pcm:-?rate=16000.",
    ),
]
To: TypeAlias = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="WHERE",
        help="local (a server inside this process), openai, or a URL: a base ending in /v1 "
        "or the full endpoint.",
    ),
]
Turns: TypeAlias = Annotated[
    TurnTaking,
    typer.Option(
        "--turns", help="Who ends the user's turn: manual, the recording's end; vad, the server."
    ),
]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The model; left out: the default of OpenAI's SDKs.",
        rich_help_panel=SESSION_PANEL,
    ),
]
Instructions: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--instructions",
        metavar="TEXT",
        help="The session's instructions.",
        rich_help_panel=SESSION_PANEL,
    ),
]
Voice: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--voice", metavar="NAME", help="The model's voice.", rich_help_panel=SESSION_PANEL
    ),
]
Responder: TypeAlias = Annotated[
    str,
    typer.Option(
        "--responder",
        metavar="NAME",
        help="Who answers on the local server.",
        rich_help_panel=SESSION_PANEL,
    ),
]
Deadline: TypeAlias = Annotated[
    float,
    typer.Option(
        "--deadline",
        min=1.0,
        metavar="SECONDS",
        help="How long an answer may take, to its last sound.",
        rich_help_panel=SESSION_PANEL,
    ),
]
NoPlugins: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-plugins",
        help="Use only what this distribution brings.",
        rich_help_panel=PLUGINS_PANEL,
    ),
]
Plugin: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="NAME",
        help="Allow only these plugins (repeatable).",
        callback=_known_plugins,
        rich_help_panel=PLUGINS_PANEL,
    ),
]


class ChoosesPlugins:
    """Of options that say which plugins are allowed; they end with these fields, as a rule."""

    no_plugins: bool
    plugin: list[str] | None

    @property
    def allow(self) -> list[str] | None:
        """As `PluginManager` takes it."""
        return allowed(self.no_plugins, self.plugin)


def allowed(no_plugins: bool, plugin: list[str] | None) -> list[str] | None:
    """What ``--no-plugins`` and ``--plugin`` say, as `PluginManager` takes it."""
    return [] if no_plugins else plugin or None


def taking(
    options: type[Options],
) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Let typer see the fields of a dataclass as the parameters of a function that takes it.

    Args:
        options: The dataclass.
    """

    def decorate(command: Callable[[Options], None]) -> Callable[..., None]:
        def called_by_typer(**given: object) -> None:
            command(options(**given))

        hints = get_type_hints(options, include_extras=True)
        fields = [
            parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(options).parameters.items()
        ]
        called_by_typer.__signature__ = inspect.Signature(fields)  # type: ignore[attr-defined]
        called_by_typer.__name__ = command.__name__
        called_by_typer.__doc__ = command.__doc__
        return called_by_typer

    return decorate
