"""Realtime sessions of telephone calls."""

from realtime_transports.sip.calls import CallError
from realtime_transports.sip.transport import OpenAIRealtimeSIP

__all__ = ["CallError", "OpenAIRealtimeSIP"]
