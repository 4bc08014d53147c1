"""When a session's tracing can be set, and what to send for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from realtime_transports.openai.config_values import Json, plain

logger = logging.getLogger(__name__)


def tracing_update(current: object, wanted: object) -> Json | None:
    """The `session` of the `session.update` that sets tracing once the session is known.

    The API does not change a session's trace once it has a configuration of its own ("tracing" in
    the reference of `session.update`). Then the running trace is left alone.

    Args:
        current: `tracing` of the session that the server told of; None where it has none.
        wanted: The caller's: `"auto"`, which is also what to pass where nothing was said; a
            mapping with `workflow_name`, `group_id`, `metadata`; or None for no tracing.

    Returns:
        The payload; None where nothing is to be sent.
    """
    if not isinstance(current, Mapping):
        return {"type": "realtime", "tracing": plain(wanted)}
    if wanted != "auto" and _said(wanted) != _said(current):
        logger.warning(
            "the session already has a tracing configuration, which cannot be changed; "
            "set tracing where the session is created"
        )
    return None


def warn_of_late_tracing(written: object, wanted: object) -> None:
    """Tell that an update's tracing has no effect, unless it is what was wanted all along.

    Args:
        written: `tracing` of the update; None where it says nothing.
        wanted: As for `tracing_update`.
    """
    if written is not None and _said(written) != _said(wanted):
        logger.warning("tracing can only be set in the initial config; the update's is left out")


def _said(tracing: object) -> object:
    """Without the members that the server shows as null because nobody gave them."""
    value = plain(tracing)
    if isinstance(value, dict):
        return {key: member for key, member in value.items() if member is not None}
    return value
