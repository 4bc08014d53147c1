from __future__ import annotations

from realtime_transports.openai.audio_labels import AudioLabel, AudioLabels


def started(response_id: str) -> dict[str, object]:
    return {"type": "output_audio_buffer.started", "response_id": response_id}


def stopped(response_id: str) -> dict[str, object]:
    return {"type": "output_audio_buffer.stopped", "response_id": response_id}


def part(response_id: str, item_id: str, kind: str = "audio", index: int = 0) -> dict[str, object]:
    return {
        "type": "response.content_part.added",
        "response_id": response_id,
        "item_id": item_id,
        "content_index": index,
        "part": {"type": kind},
    }


def after(*events: dict[str, object]) -> AudioLabel | None:
    labels = AudioLabels()
    for event in events:
        labels.receive(event)
    return labels.current


def test_audio_belongs_to_the_audio_part_of_the_response_that_plays():
    parts = (part("r1", "text", "text"), part("r1", "speech", index=1), part("r2", "next"))
    assert after(*parts, started("r1")) == AudioLabel("r1", "speech", 1)


def test_a_part_may_become_known_after_its_response_started_to_play():
    assert after(started("r1")) == AudioLabel("r1")
    assert after(started("r1"), part("r1", "speech")) == AudioLabel("r1", "speech", 0)


def test_the_transcript_tells_the_part_too():
    delta = {
        "type": "response.output_audio_transcript.delta",
        "response_id": "r1",
        "item_id": "speech",
        "content_index": 0,
    }
    assert after(delta, started("r1")) == AudioLabel("r1", "speech", 0)


def test_nothing_plays_between_responses():
    assert after() is None
    assert after(part("r1", "speech"), started("r1"), stopped("r1")) is None
    assert after(started("r1"), {"type": "output_audio_buffer.cleared"}) is None


def test_the_end_of_an_earlier_response_does_not_end_the_one_that_plays():
    assert after(started("r1"), started("r2"), stopped("r1")) == AudioLabel("r2")


def test_events_without_the_fields_do_no_harm():
    malformed = part("r1", "speech") | {"item_id": 5, "content_index": None}
    assert after(malformed, started("r1")) == AudioLabel("r1")
    assert after({"type": "output_audio_buffer.started"}, {"type": 5}) == AudioLabel(None)


def test_responses_that_never_play_do_not_pile_up():
    labels = AudioLabels()
    for number in range(1000):
        labels.receive(part(f"r{number}", "speech"))
    assert len(labels._parts) <= 16


def test_a_new_connection_starts_with_nothing():
    labels = AudioLabels()
    labels.receive(started("r1"))
    labels.clear()
    assert labels.current is None
