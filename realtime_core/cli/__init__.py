"""The command ``realtime``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; the exit code is 0, 1 (failed on the way), 2 (wrong use) or 130."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character is no reason to fail.
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
    try:
        from realtime_core.cli.standard_streams import OutputError, reliable_streams

        try:
            with reliable_streams():
                _run()
        except OutputError as exc:
            print(f"error: {exc}", file=sys.stderr)
            sys.exit(1)
    except KeyboardInterrupt:  # before anything had begun
        from realtime_core.cli.exit_codes import tell_interrupted

        tell_interrupted()
        sys.exit(130)


def _run() -> None:
    from realtime_core.cli.app import app
    from realtime_core.cli.exit_codes import usage_error_as_json

    try:
        app()
    except SystemExit as exiting:
        usage_error_as_json(exiting)
        raise
