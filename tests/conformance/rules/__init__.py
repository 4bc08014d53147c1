"""What this project does on purpose otherwise than the reference.

A rule is keyed on behaviour: it sees what is done in a case and what was recorded, never the
case's name or tags. It rewrites the expectation to what this project does instead, for every case
in which the behaviour shows, and names the oddity of the reference that it mends or decides.
"""

from __future__ import annotations

from tests.conformance.case import load_quirks
from tests.conformance.rules import (
    configuration,
    connection,
    history,
    interruption,
    listeners,
    responses,
    server_events,
    websocket,
)
from tests.conformance.rules.base import Rule, check_rule

__all__ = ["RULES", "Rule", "check_rule"]

RULES: tuple[Rule, ...] = (
    *connection.RULES,
    *responses.RULES,  # before what tells more events: these look at what the reference could read
    *listeners.RULES,
    *server_events.RULES,
    *interruption.RULES,
    *configuration.RULES,
    *websocket.RULES,
    *history.RULES,
)

_QUIRKS = load_quirks()
for _rule in RULES:
    check_rule(_rule, _QUIRKS)
