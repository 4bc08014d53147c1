"""MCP servers, which the API would ask for their tools, and this server does not reach."""

from __future__ import annotations

from realtime_transports.openai.server_outputs import Outbox
from realtime_transports.openai.server_session import SessionConfig

__all__ = ["McpListing"]


class McpListing:
    """Tells of each MCP server in the configuration that its tools cannot be had.

    The API lists them when a server is new in the session: mcp_list_tools.in_progress, then
    .completed or .failed, all with the id of the listing (`McpListToolsInProgress` and its
    siblings in `openai.types.realtime`).
    """

    def __init__(self, outbox: Outbox, config: SessionConfig) -> None:
        """Begin knowing none; `follow_config` is to be called when the configuration changed."""
        self._outbox = outbox
        self._config = config
        self._known: set[str] = set()

    def follow_config(self) -> None:
        """Tell of the servers that are new."""
        for label in self._config.mcp_labels:
            if label not in self._known:
                self._known.add(label)
                item_id = self._outbox.make_id("mcpl")
                self._outbox.send("mcp_list_tools.in_progress", item_id=item_id)
                self._outbox.send("mcp_list_tools.failed", item_id=item_id)
