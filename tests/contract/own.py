"""What this distribution's own plugins bring."""

from __future__ import annotations

from realtime_core.plugins import default_plugins


def own_names(kind: str) -> set[str]:
    """The names of one kind."""
    own = [
        each for each in default_plugins().statuses() if each.distribution == "realtime-transports"
    ]
    return {name for status in own for name in status.provides.get(kind, [])}
