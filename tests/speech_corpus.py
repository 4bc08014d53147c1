"""Real recordings with their texts: a few that are here, many that Debian has.

``python -m tests.speech_corpus`` fetches the many. They are Asterisk's prompts, spoken by Allison
Smith (CC BY-SA 3.0), taken out of their packages without installing them.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import jiwer
import numpy as np
import soundfile
from numpy.typing import NDArray

from realtime_core.resample import StreamingResampler

PACKAGES = ("asterisk-core-sounds-en", "asterisk-core-sounds-en-g722")
SOUNDS = "usr/share/asterisk/sounds/en_US_f_Allison"
TEXTS = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
FETCH_TIMEOUT_S = 180
OWN = Path(__file__).parent / "data"

OWN_TEXTS = {
    "mailbox_number.wav": "To leave a message, please enter a mailbox number.",
    "say_your_name.wav": "At the tone, please say your name.",
    "ill_disposed.wav": "He was not an ill-disposed young man.",
    "speech/amiable.wav": "He might even have been made amiable himself.",
    "speech/leader.wav": "The conference will begin when the leader arrives.",
    "speech/only_person.wav": "You are currently the only person in this conference.",
    "speech/try_again.wav": "That is not a valid conference number. Please try again.",
}


class CorpusError(Exception):
    """The recordings cannot be had here."""


@dataclass(frozen=True)
class Recording:
    """Somebody says something."""

    name: str
    text: str
    path: Path

    def samples(self, rate_hz: int = 24_000) -> NDArray[np.int16]:
        """int16, mono, at any rate."""
        pcm, recorded_hz = self._read()
        resampler = StreamingResampler(recorded_hz, rate_hz)
        return np.concatenate([resampler.push(pcm.reshape(-1, 1)), resampler.flush()])[:, 0]

    def _read(self) -> tuple[NDArray[np.int16], int]:
        if self.path.suffix != ".g722":
            return soundfile.read(self.path, dtype="int16")
        with av.open(str(self.path), format="g722") as container:
            frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return np.concatenate(frames), 16_000


def own_recordings() -> list[Recording]:
    """The few that are here."""
    return [Recording(name, text, OWN / name) for name, text in OWN_TEXTS.items()]


def fetched_recordings(*, least_words: int = 4) -> list[Recording]:
    """The many, sorted by name; each text is there once.

    Left out is what is not spoken as it is written: beeps and symbols.

    Raises:
        CorpusError: They cannot be fetched here.
    """
    folder = fetch()
    found: dict[str, Recording] = {}
    for name, text in _texts(folder / TEXTS):
        path = folder / SOUNDS / f"{name}.g722"
        words = normalise(text).split()
        is_speech = not re.search(r"[\[\]<>*#()/]", text)
        if path.is_file() and is_speech and len(words) >= least_words:
            found.setdefault(" ".join(words), Recording(name, text, path))
    return sorted(found.values(), key=lambda recording: recording.name)


def fetch() -> Path:
    """The folder with the packages' content; downloads it if it is not there.

    Raises:
        CorpusError: There is no apt, or it cannot download.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "realtime-transports" / "asterisk-sounds"
    if folder.is_dir():
        return folder
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise CorpusError("apt-get and dpkg are needed to fetch the recordings")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        _run(["apt-get", "download", *PACKAGES], Path(temporary))
        content = Path(temporary) / "content"
        for package in sorted(Path(temporary).glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(content)], Path(temporary))
        try:
            content.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def normalise(text: str) -> str:
    """Lower case, no punctuation, digits as words: what is compared for word error rates."""
    text = text.lower().replace("\u2019", "'").replace("-", " ")
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text)
    return " ".join(re.sub(r"[^a-z' ]", " ", text).split())


def word_error_rate(spoken: Iterable[str], understood: Iterable[str]) -> float:
    """Of all words together."""
    reference = [normalise(text) for text in spoken]
    hypothesis = [normalise(text) for text in understood]
    return float(jiwer.wer(reference, hypothesis))


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            name, colon, text = line.strip().partition(": ")
            if colon and not line.startswith(";"):
                yield name, text


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.CalledProcessError as exc:
        raise CorpusError(f"{' '.join(command)}: {exc.stderr.strip()}") from exc
    except subprocess.TimeoutExpired as exc:
        raise CorpusError(f"{' '.join(command)} took more than {FETCH_TIMEOUT_S} s") from exc


if __name__ == "__main__":
    print(f"{len(fetched_recordings())} recordings in {fetch()}")  # noqa: T201 - a script
