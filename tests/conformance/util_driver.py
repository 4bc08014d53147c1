"""Plays cases of transport ``util``: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from realtime_core.history import (
    diff_history,
    last_text_from_audio_output_message,
    remove_audio_from_content,
    update_history,
)
from realtime_core.items import parse_item
from realtime_transports.openai.session_config import normalize_audio_format, to_new_session_config
from realtime_transports.openai.wire import decode_audio, encode_audio
from tests.conformance.names import from_config, from_item
from tests.conformance.stage import Stage, UnknownStepError
from tests.conformance.values import plain, without_undefined
from tests.conformance.virtual_loop import VirtualLoop

__all__ = ["play_util"]


async def play_util(stage: Stage, loop: VirtualLoop) -> None:
    """Call one function after the other."""

    def do(step: Mapping[str, Any]) -> None:
        function = _FUNCTIONS.get(str(step.get("util")))
        if function is None:
            raise UnknownStepError(f"unknown step {step}")
        args = without_undefined(stage.decode(step.get("args", [])))
        try:
            value = function(*args)
        except Exception as exc:  # any is compared
            stage.recorder.failed("call", exc, step["util"])
        else:
            stage.recorder.got("util", step["util"], value)

    await stage.play(do)


def _diff_history(old: list[Any], new: list[Any]) -> Any:
    """What the reference tells, which does not know moves."""
    diff = diff_history([from_item(item) for item in old], [from_item(item) for item in new])
    return {"removals": diff.removals, "additions": diff.additions, "updates": diff.updates}


def _item(data: Any) -> Any:
    """An item; what is none stays as it is."""

    try:
        return parse_item(from_item(data))
    except ValidationError:
        return from_item(data)


def _update_history(history: list[Any], update: Any, keep_audio: bool) -> Any:

    items = [_item(item) for item in history]
    updated = update_history(items, _item(update), keep_audio=keep_audio)
    return _set_fields(list(updated))


def _remove_audio(item: Any) -> Any:

    return _set_fields(remove_audio_from_content(_item(item)))


def _set_fields(value: Any) -> Any:
    """Items without what was left out."""
    return without_undefined(plain(value))


def _last_text(item: Any) -> Any:

    return last_text_from_audio_output_message(from_item(item))


def _new_session_config(config: Any) -> Any:

    return to_new_session_config(from_config(config))


def _to_base64(data: bytes) -> Any:

    return encode_audio(data)


def _from_base64(text: str) -> Any:

    return decode_audio(text)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "diffRealtimeHistory": _diff_history,
    "updateRealtimeHistory": _update_history,
    "removeAudioFromContent": _remove_audio,
    "getLastTextFromAudioOutputMessage": _last_text,
    "normalizeAudioFormat": normalize_audio_format,
    "toNewSessionConfig": _new_session_config,
    "arrayBufferToBase64": encode_audio,
    "base64ToArrayBuffer": decode_audio,
}
