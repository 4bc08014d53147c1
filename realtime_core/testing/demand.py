"""Failures that teach: what the contract demands, what was seen, and where it is written."""

from __future__ import annotations

import inspect
from typing import NoReturn

__all__ = ["broken", "require"]

MAX_SEEN_CHARS = 1_000


def require(is_kept: object, demand: str, *, seen: object, see: object) -> None:
    """Fail unless a demand of the contract is kept.

    Args:
        is_kept: Whether it is.
        demand: The demand, as a sentence.
        seen: What came instead.
        see: The class, method or module in whose docstring the demand stands.

    Raises:
        AssertionError: It is not.
    """
    if not is_kept:
        broken(demand, seen=seen, see=see)


def broken(demand: str, *, seen: object, see: object) -> NoReturn:
    """Fail; the arguments are as for `require`.

    Raises:
        AssertionError: Always.
    """
    told = seen if isinstance(seen, str) else repr(seen)
    if len(told) > MAX_SEEN_CHARS:
        told = f"{told[:MAX_SEEN_CHARS]} … ({len(told)} characters)"
    raise AssertionError(
        f"\n  the contract: {demand}\n  seen:         {told}\n  documented:   {_place(see)}"
    )


def _place(see: object) -> str:
    """The dotted name of something, and the first line of what is written there."""
    if isinstance(see, property):
        see = see.fget
    if isinstance(see, str):
        return see
    name = getattr(see, "__qualname__", None)
    module = getattr(see, "__module__", None)
    place = f"{module}.{name}" if module and name else getattr(see, "__name__", repr(see))
    said = (inspect.getdoc(see) or "").partition("\n")[0]
    return f"{place}: {said}" if said else str(place)
