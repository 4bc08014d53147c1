"""What all commands have in common that typer has otherwise: words for people, not types."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group"]

BRACED = re.compile(r"\{(.+)\}(?=(\.\.\.)?$)")
PYDANTIC_PREFIX = "Value error, "


class _Plain:
    """For a command of typer's.

    Since 0.29 typer tells the Python type of an option that takes no value (``<bool>``), writes a
    required argument as others write a choice (``{QUESTION}``), and passes on what pydantic says.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; of those that take no value, nothing is said about one."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in parameters:
            takes_none = getattr(each, "is_flag", False) or getattr(each, "count", False)
            if takes_none and each.metavar is None:
                each.metavar = ""
        return parameters

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What the line ``Usage:`` shows behind the command's name."""
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [BRACED.sub(r"\1", each) for each in pieces]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line.

        Raises:
            typer.BadParameter: A value does not fit.
        """
        try:
            rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.BadParameter as exc:
            exc.message = exc.message.removeprefix(PYDANTIC_PREFIX)
            raise
        return rest


class Command(_Plain, TyperCommand):
    """To be given to typer as the class of a command."""


class Group(_Plain, TyperGroup):
    """To be given to typer as the class of an app."""
