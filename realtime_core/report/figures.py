"""How figures are written for people."""

from __future__ import annotations

__all__ = ["shown", "shown_change", "with_unit"]


def shown(value: float | None, unit: str) -> str:
    """A figure with its unit, with as many digits as say something."""
    if value is None:
        return "\N{EN DASH}"
    if unit == "ms" and abs(value) >= 10_000:
        value, unit = value / 1000, "s"
    return with_unit(value, _digits(value, unit), unit)


def with_unit(value: float, digits: int, unit: str) -> str:
    """A figure with so many digits behind the point."""
    number = f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return number if not unit else f"{number}\N{NARROW NO-BREAK SPACE}{unit}"


def shown_change(value: float, unit: str) -> str:
    """A difference, with its sign; that of percentages is in percentage points."""
    text = shown(abs(value), unit).replace("%", "pp")
    if not any(digit in text for digit in "123456789"):
        return f"±{text}"
    return f"+{text}" if value > 0 else f"\N{MINUS SIGN}{text}"


def _digits(value: float, unit: str) -> int:
    if not unit:
        return 0
    if unit == "ms":
        return 1 if abs(value) < 10 else 0
    return 1 if abs(value) < 100 else 0
