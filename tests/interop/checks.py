"""What a conversation through OpenAI Agents JS must have come to; see js/conversation.js."""

from __future__ import annotations

from typing import Any

LOUD = 0.02
SILENT = 0.002


def check_conversation(report: dict[str, Any]) -> None:
    """Connect, text, speech, tool, interruption, history, close."""
    assert report["errors"] == [], report["errors"]
    assert report["connected"] == "connected"
    assert report["text"]["status"] == "completed"
    assert report["text"]["usage"] > 0
    asked, answered = report["historyAfterText"]
    assert asked == ["user", "Good morning to you"]
    assert answered[0] == "assistant"
    assert answered[1]
    check_speech(report)
    check_tool(report)
    assert report["loudnessBefore"] > LOUD
    assert report["loudnessAfter"] < SILENT
    assert report["deleted"]
    assert report["isGone"]
    assert report["closed"] == "disconnected"


def check_speech(report: dict[str, Any]) -> None:
    assert report["speech"]["status"] == "completed"
    heard, said = report["historyAfterSpeech"][-2:]
    assert heard[0] == "user"
    assert heard[1], "nothing was understood"
    assert said[0] == "assistant"
    assert said[1]


def check_tool(report: dict[str, Any]) -> None:
    assert report["tool"]["status"] == "completed"
    (call,) = report["tool"]["calls"]
    assert set(call) == {"city"}
    assert call["city"]
    assert ["function_call", "get_weather"] in report["historyAfterTool"]
    assert "sunny" in report["historyAfterTool"][-1][1]
