"""A stand-in for sounddevice whose clock runs by itself, five times as fast as a real one."""

from __future__ import annotations

import threading
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

import numpy as np

SPEED = 5


class PortAudioError(Exception):
    pass


class RunningStream:
    """Calls its callback from a thread of its own, as PortAudio does."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self._kind = kind
        self._options = options
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"device {kind}")
        self.time = 1.0
        self.latency = 0.0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        size, rate_hz = self._options["blocksize"], self._options["samplerate"]
        block = np.zeros((size, self._options["channels"]), np.int16)
        times = SimpleNamespace(outputBufferDacTime=self.time)
        while not self._stopping.wait(size / rate_hz / SPEED):
            times.outputBufferDacTime = self.time
            self._options["callback"](block, size, times, None)
            self.time += size / rate_hz
        self._options["finished_callback"]()


class RunningSoundDevice:
    """The part of sounddevice's module that is used, with one device."""

    PortAudioError = PortAudioError

    def query_devices(self, kind: str | None = None) -> Any:
        device = {
            "index": 0,
            "name": "The Only One",
            "max_input_channels": 2,
            "max_output_channels": 2,
            "default_samplerate": 48_000.0,
        }
        return [device] if kind is None else device

    def check_input_settings(self, **settings: Any) -> None:
        """Everything can be done."""

    check_output_settings = check_input_settings

    def _open(self, kind: str, **options: Any) -> RunningStream:
        return RunningStream(kind, options)

    InputStream = partialmethod(_open, "input")
    OutputStream = partialmethod(_open, "output")
