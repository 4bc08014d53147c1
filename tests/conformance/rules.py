"""What this project does on purpose otherwise than the reference.

A rule is keyed on behaviour: it sees what is done in a case and what was recorded, never the
case's name or tags. It rewrites the expectation to what this project does instead, for every case
in which the behaviour shows, and names the oddity of the reference that it mends or decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.case import Scene, load_quirks
from tests.conformance.trace import Trace

__all__ = ["RULES", "Rule", "check_rule"]

Rewrite = Callable[[Scene, Trace], None]
"""Changes the expectation in place, where the behaviour shows."""


@dataclass(frozen=True)
class Rule:
    """A deliberate difference."""

    quirk: str
    """The oddity's id in QUIRKS.json."""
    instead: str
    """What happens here instead."""
    rewrite: Rewrite


def check_rule(rule: Rule, quirks: Mapping[str, Any]) -> None:
    """Refuse a rule that nothing justifies.

    Raises:
        ValueError: The oddity is unknown, or one that must be kept.
    """
    if rule.quirk not in quirks:
        raise ValueError(f"a rule names {rule.quirk!r}, which is no known quirk")
    if quirks[rule.quirk]["advice"] == "keep":
        raise ValueError(f"a rule differs in {rule.quirk!r}, which must be kept")


RULES: list[Rule] = []
_QUIRKS = load_quirks()


def _rule(quirk: str, instead: str) -> Callable[[Rewrite], Rewrite]:
    def add(rewrite: Rewrite) -> Rewrite:
        rule = Rule(quirk, instead, rewrite)
        check_rule(rule, _QUIRKS)
        RULES.append(rule)
        return rewrite

    return add
