"""Makes the protocol again that a record was taken of, to feed the record to it."""

from __future__ import annotations

from realtime_core.errors import UserError
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.websocket_protocol import SipProtocol, WebSocketProtocol

__all__ = ["make_engine"]

_PROTOCOLS: dict[str, type[ClientProtocol]] = {
    protocol.__name__: protocol for protocol in (ClientProtocol, WebSocketProtocol, SipProtocol)
}


def make_engine(name: str) -> ClientProtocol:
    """A new protocol of this class name.

    Raises:
        UserError: There is none.
    """
    try:
        return _PROTOCOLS[name]()
    except KeyError:
        known = ", ".join(_PROTOCOLS)
        raise UserError(f"there is no protocol {name!r}; there are: {known}") from None
