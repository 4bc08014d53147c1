"""The command ``realtime``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command; the exit code is 0, 1 (failed on the way), 2 (wrong use) or 130."""
    from realtime_core.cli.app import app

    app()
