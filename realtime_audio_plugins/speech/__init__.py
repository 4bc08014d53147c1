"""Hearing and speaking on this machine; needs the extra ``local``."""

from realtime_audio_plugins.speech.engine import LocalSpeechEngine

__all__ = ["LocalSpeechEngine"]
