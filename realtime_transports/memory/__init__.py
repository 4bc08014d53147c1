"""Realtime sessions within one process, for tests of agents: no socket, no clock, no account."""

from realtime_transports.memory.script import ScriptedAnswer, ScriptedResponder
from realtime_transports.memory.server import MemoryServer
from realtime_transports.memory.transport import OpenAIRealtimeMemory

__all__ = ["MemoryServer", "OpenAIRealtimeMemory", "ScriptedAnswer", "ScriptedResponder"]
