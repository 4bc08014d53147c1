"""The session's configuration as the server keeps it: defaults, checks, updates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from realtime_transports.openai.config_values import copied
from realtime_transports.openai.server_checks import check_object
from realtime_transports.openai.server_fields import (
    AUDIO_FORMATS,
    PCM_FORMAT,
    RESPONSE_CHECKS,
    SERVER_VAD_DEFAULTS,
    SESSION_CHECKS,
)
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject
from realtime_transports.openai.server_strict import (
    require_api_response,
    require_api_session,
    require_api_update,
)

__all__ = ["AUDIO_FORMATS", "DEFAULT_MODEL", "SessionConfig"]

DEFAULT_MODEL = "gpt-realtime-2.1"

SECRETS_OF_TOOLS = ("authorization", "headers")
"""What an MCP tool may hold that is not for everybody who sees the session."""


def _default_session() -> JsonObject:
    return {
        "type": "realtime",
        "object": "realtime.session",
        "model": DEFAULT_MODEL,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": dict(PCM_FORMAT),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(SERVER_VAD_DEFAULTS),
            },
            "output": {"format": dict(PCM_FORMAT), "voice": "marin", "speed": 1.0},
        },
    }


class SessionConfig:
    """A session's configuration; every change is checked first and then made as a whole."""

    def __init__(
        self,
        session_id: str,
        *,
        audio_formats: Collection[str] = AUDIO_FORMATS,
        expires_at: int | None = None,
        strict: bool = False,
    ) -> None:
        """Begin with the API's defaults.

        Args:
            session_id: The session's id.
            audio_formats: Which can be spoken. Over WebRTC they mean nothing: there is Opus.
            expires_at: When the session ends, in seconds since 1970; None leaves it open.
            strict: Refuse also what has the right shape and the API refuses all the same; see
                `server_strict`.
        """
        self._values: JsonObject = {**_default_session(), "id": session_id}
        self._audio_formats = audio_formats
        self.is_strict = strict
        if expires_at is not None:
            self._values["expires_at"] = expires_at

    def to_dict(self) -> JsonObject:
        """The configuration as `session.created` and `session.updated` show it.

        Keys and headers for MCP servers are left out.
        """
        shown = copied(self._values)
        for tool in shown["tools"]:
            for name in SECRETS_OF_TOOLS:
                tool.pop(name, None)
        return shown

    @property
    def turn_detection(self) -> Mapping[str, Any] | None:
        """Its settings with all defaults; None when the client commits by itself."""
        settings: Mapping[str, Any] | None = self._values["audio"]["input"]["turn_detection"]
        return settings

    @property
    def transcription(self) -> Mapping[str, Any] | None:
        """How the user's audio is to be transcribed for the client; None for not at all."""
        settings: Mapping[str, Any] | None = self._values["audio"]["input"]["transcription"]
        return settings

    @property
    def input_format(self) -> Mapping[str, Any]:
        """The format of audio that the client sends in events."""
        audio_format: Mapping[str, Any] = self._values["audio"]["input"]["format"]
        return audio_format

    @property
    def output_format(self) -> Mapping[str, Any]:
        """The format of audio that the server sends in events."""
        audio_format: Mapping[str, Any] = self._values["audio"]["output"]["format"]
        return audio_format

    @property
    def formats(self) -> Mapping[str, Mapping[str, Any]]:
        """The format of audio in items, by the role whose it is.

        "parsed as the format specified in the session input audio type configuration", and the
        assistant's as that of the output (`RealtimeConversationItemUserMessage` and its sibling).
        """
        return {"user": self.input_format, "assistant": self.output_format}

    @property
    def mcp_labels(self) -> list[str]:
        """The labels of the MCP servers whose tools are wanted."""
        return [tool["server_label"] for tool in self._values["tools"] if tool["type"] == "mcp"]

    @property
    def voice(self) -> str:
        """The voice of the answers."""
        return str(_name_of_voice(self._values["audio"]["output"]["voice"]))

    def update(
        self, changes: object, *, is_running: bool = False, is_voice_fixed: bool = False
    ) -> None:
        """Change what is given and leave the rest.

        Args:
            changes: The `session` of a session.update.
            is_running: Whether the client knows the session already; some things are fixed then.
            is_voice_fixed: Whether audio was already spoken.

        Raises:
            ClientEventError: Something in it is wrong; nothing was changed.
        """
        checked = check_object(changes, "session", SESSION_CHECKS)
        self._require_known_formats(checked)
        new_voice = checked.get("audio", {}).get("output", {}).get("voice", self.voice)
        if is_voice_fixed and _name_of_voice(new_voice) != self.voice:
            raise ClientEventError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.audio.output.voice",
            )
        if not checked.get("model", "given"):
            del checked["model"]  # an empty name, as Agents JS sends for no model, names none
        updated = _merged(self._values, checked)
        if self.is_strict:
            if is_running:
                require_api_update(checked, self._values)
            require_api_session(checked, updated["tools"])
        self._values = updated

    def with_response_options(self, options: object) -> tuple[JsonObject, bool]:
        """The configuration that holds for one response.

        Args:
            options: The `response` of a response.create.

        Returns:
            The configuration, with `metadata` and `input` if given, and whether the response
            belongs to the conversation.

        Raises:
            ClientEventError: Something in it is wrong.
        """
        checked = check_object(options, "response", RESPONSE_CHECKS)
        given = {name: member for name, member in checked.items() if member is not None}
        if self.is_strict:
            require_api_response(given, _merged(self._values, given)["tools"])
        is_in_conversation = given.pop("conversation", "auto") != "none"
        return _merged(copied(self._values), given), is_in_conversation

    def _require_known_formats(self, checked: JsonObject) -> None:
        for part, settings in checked.get("audio", {}).items():
            kind = settings.get("format", PCM_FORMAT)["type"]
            if kind not in self._audio_formats:
                raise ClientEventError(
                    f"This server does not speak '{kind}' here, only "
                    f"{', '.join(self._audio_formats)}.",
                    code="unsupported_audio_format",
                    param=f"session.audio.{part}.format.type",
                )


def _name_of_voice(voice: object) -> object:
    return voice.get("id") if isinstance(voice, dict) else voice


def _merged(old: JsonObject, changes: JsonObject) -> JsonObject:
    """`old` with `changes`; of objects, only `audio` and its two parts are merged."""
    merged = {**old, **changes}
    for name in ("audio", "input", "output"):
        if isinstance(changes.get(name), dict) and isinstance(old.get(name), dict):
            merged[name] = _merged(old[name], changes[name])
    return merged
