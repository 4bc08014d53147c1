"""What microphone and speaker have in common: PortAudio, through sounddevice.

PortAudio calls back in a thread of its own, with a deadline of a few milliseconds. There nothing
is done but copying samples from or to a queue of bounded length; the event loop is reached by
`call_soon_threadsafe` only.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from realtime_audio_plugins.threads import call_in_thread
from realtime_core.devices import AudioDevice
from realtime_core.errors import AudioError

__all__ = [
    "BLOCKS_PER_SECOND",
    "PREFERRED_RATE_HZ",
    "STALL_TIMEOUT_S",
    "Device",
    "Direction",
    "close_stream",
    "list_devices",
    "lost_error",
    "open_device",
]

_logger = logging.getLogger(__name__)

PREFERRED_RATE_HZ = 48_000
BLOCKS_PER_SECOND = 50
STALL_TIMEOUT_S = 2.0
"""A device that is unplugged does not always say so: on some systems it just stops calling."""

OPEN_TIMEOUT_S = 10.0
"""A sound server that does not answer would otherwise stop the event loop."""

CLOSE_TIMEOUT_S = 3.0

Direction = Literal["input", "output"]
_ROLES: dict[str, str] = {"input": "microphone", "output": "speaker"}
_KINDS: dict[str, str] = {"input": "source", "output": "sink"}


@dataclass(frozen=True)
class Device:
    """A device that is open and running."""

    name: str
    rate_hz: int
    channels: int
    stream: Any
    """sounddevice's."""


async def open_device(
    direction: Direction,
    wanted: int | str | None,
    *,
    max_channels: int,
    prepare: Callable[[int, int], dict[str, Any]],
) -> Device:
    """Find a device and start it, without holding up the event loop.

    Args:
        direction: Whether it is to record or to play.
        wanted: Index, part of the name in any case, or None for the system's default.
        max_channels: It is opened with as many channels, or fewer if it has not so many.
        prepare: Gets rate and number of channels before the stream begins; returns the stream's
            callbacks.

    Raises:
        AudioError: sounddevice is not installed, there is no such device, it cannot be used, or it
            does not answer.
    """

    def find_and_start() -> Device:
        sounddevice = import_sounddevice(direction)
        index, info = _find_device(sounddevice, wanted, direction)
        channels = min(max_channels, int(info[f"max_{direction}_channels"]))
        rate_hz = _choose_rate(sounddevice, index, info, channels, direction)
        name = str(info["name"])
        make = sounddevice.InputStream if direction == "input" else sounddevice.OutputStream
        stream = _start_stream(
            sounddevice,
            make,
            name,
            device=index,
            channels=channels,
            dtype="int16",
            samplerate=rate_hz,
            blocksize=rate_hz // BLOCKS_PER_SECOND,
            **prepare(rate_hz, channels),
        )
        return Device(name, rate_hz, channels, stream)

    if sys.platform == "win32":
        # Windows' audio interfaces belong to the thread that first asked for them.
        return find_and_start()
    return await call_in_thread(
        find_and_start,
        undo=lambda device: device.stream.close(),
        timeout_s=OPEN_TIMEOUT_S,
        what=f"the {_ROLES[direction]}",
    )


async def close_stream(device: str, stream: Any) -> None:
    """Stop and release an open device, without holding up the event loop."""
    if sys.platform == "win32":
        stream.close()
        return
    try:
        await call_in_thread(
            stream.close, undo=lambda _: None, timeout_s=CLOSE_TIMEOUT_S, what=repr(device)
        )
    except AudioError as exc:
        _logger.warning("closing it: %s", exc)


def list_devices() -> list[AudioDevice]:
    """All devices of this machine. May take a second.

    Raises:
        AudioError: sounddevice is not installed, or cannot look.
    """
    sounddevice = _load_sounddevice()
    devices = _query_all(sounddevice)
    default_input, default_output = (_default(sounddevice, kind) for kind in ("input", "output"))
    return [
        AudioDevice(
            index=int(device["index"]),
            name=str(device["name"]),
            input_channels=int(device["max_input_channels"]),
            output_channels=int(device["max_output_channels"]),
            default_rate_hz=int(device["default_samplerate"]),
            is_default_input=device["index"] == default_input,
            is_default_output=device["index"] == default_output,
        )
        for device in devices
    ]


def _query_all(sounddevice: Any) -> list[dict[str, Any]]:
    try:
        return [dict(device) for device in sounddevice.query_devices()]
    except (ValueError, sounddevice.PortAudioError) as exc:
        raise AudioError(f"the audio devices cannot be listed: {exc}") from exc


def _default(sounddevice: Any, kind: str) -> int | None:
    try:
        return int(sounddevice.query_devices(kind=kind)["index"])
    except (ValueError, sounddevice.PortAudioError):
        return None  # the machine has none


def import_sounddevice(direction: Direction) -> Any:
    """The module.

    Raises:
        AudioError: It is not installed, or lacks its library.
    """
    try:
        return _load_sounddevice()
    except AudioError as exc:
        raise _unavailable(direction, str(exc)) from exc


def _load_sounddevice() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as exc:
        raise AudioError(
            'the package sounddevice is not installed; pip install "realtime-transports[device]"'
        ) from exc
    except OSError as exc:
        # The package came without PortAudio.
        raise AudioError(
            f"sounddevice cannot be used: {exc} (on Linux the system brings it: libportaudio2)"
        ) from exc


def _find_device(
    sounddevice: Any, wanted: int | str | None, direction: Direction
) -> tuple[int, dict[str, Any]]:
    if wanted is None:
        try:
            info = dict(sounddevice.query_devices(kind=direction))
        except (ValueError, sounddevice.PortAudioError) as exc:
            raise _no_default(direction, _usable_devices(sounddevice, direction)) from exc
        return int(info["index"]), info
    usable = _usable_devices(sounddevice, direction)
    if isinstance(wanted, int):
        found = [device for device in usable if device["index"] == wanted]
    else:
        name = wanted.casefold()
        exact = [device for device in usable if device["name"].casefold() == name]
        found = exact or [device for device in usable if name in device["name"].casefold()]
    if len(found) != 1:
        raise AudioError(
            f"{len(found)} {_ROLES[direction]}s match {wanted!r}; "
            f"there are: {_listed(found or usable)}; give one's index"
        )
    return int(found[0]["index"]), found[0]


def _usable_devices(sounddevice: Any, direction: Direction) -> list[dict[str, Any]]:
    """At least one.

    Raises:
        AudioError: There is none.
    """
    devices = _query_all(sounddevice)
    usable = [device for device in devices if device[f"max_{direction}_channels"] > 0]
    if not usable:
        role, kind = _ROLES[direction], _KINDS[direction]
        raise AudioError(f"this machine has no {role}; connect one, or give another {kind}")
    return usable


def _no_default(direction: Direction, usable: list[dict[str, Any]]) -> AudioError:
    # PortAudio says only that there is no device -1.
    return _unavailable(
        direction, f"this machine has no default; there are: {_listed(usable)}; give one's index"
    )


def _listed(devices: list[dict[str, Any]]) -> str:
    return ", ".join(f"{device['index']} ({device['name']})" for device in devices) or "none"


def _choose_rate(
    sounddevice: Any, index: int, info: dict[str, Any], channels: int, direction: Direction
) -> int:
    """48 kHz, as it goes over the wire, unless the device cannot do it."""
    check = getattr(sounddevice, f"check_{direction}_settings")
    try:
        check(device=index, channels=channels, dtype="int16", samplerate=PREFERRED_RATE_HZ)
    except (ValueError, sounddevice.PortAudioError):
        return int(info["default_samplerate"])
    return PREFERRED_RATE_HZ


def _start_stream(sounddevice: Any, stream_class: Any, name: str, **options: Any) -> Any:
    try:
        stream = stream_class(**options)
    except (ValueError, sounddevice.PortAudioError) as exc:
        raise AudioError(f"{name!r} cannot be opened: {exc}") from exc
    try:
        stream.start()
    except sounddevice.PortAudioError as exc:
        stream.close()
        raise AudioError(f"{name!r} cannot be started: {exc}") from exc
    return stream


def _unavailable(direction: Direction, reason: str) -> AudioError:
    return AudioError(f"no {_ROLES[direction]} can be used: {reason}")


def lost_error(direction: Direction, name: str) -> AudioError:
    """What to raise when an open device has gone."""
    return AudioError(f"the {_ROLES[direction]} {name!r} stopped working; is it still plugged in?")
