from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

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


# Interruption

CLEARED: dict[str, object] = {"type": "output_audio_buffer.cleared", "response_id": "r1"}


def test_an_interruption_cuts_off_what_plays_once():
    labels = AudioLabels()
    assert not labels.interrupt()
    labels.receive(started("r1"))
    assert labels.interrupt()
    assert labels.current is None
    assert labels.is_playing
    assert not labels.interrupt()
    assert not labels.receive(CLEARED)
    assert not labels.is_playing


def test_what_the_server_cuts_off_is_news():
    labels = AudioLabels()
    labels.receive(started("r1"))
    assert labels.receive(CLEARED)
    assert not labels.interrupt()


def test_what_is_cut_off_before_it_was_told_to_play_is_news_too():
    labels = AudioLabels()
    labels.interrupt()
    assert labels.receive(CLEARED)


def test_the_next_answer_can_be_interrupted_again():
    labels = AudioLabels()
    for response_id in ("r1", "r2"):
        labels.receive(started(response_id))
        assert labels.current == AudioLabel(response_id)
        assert labels.interrupt()


def test_an_answer_that_ended_before_the_server_heard_of_the_interruption_is_over():
    labels = AudioLabels()
    labels.receive(started("r1"))
    labels.interrupt()
    labels.receive(stopped("r1"))
    assert labels.receive(CLEARED)


def test_what_is_cleared_of_an_earlier_response_cuts_off_nothing_of_the_one_that_plays():
    labels = AudioLabels()
    labels.receive(started("r1"))
    labels.receive(started("r2"))
    assert not labels.receive(CLEARED)
    assert labels.current == AudioLabel("r2")


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(["started", "stopped", "cleared", "interrupt"]), max_size=30))
def test_each_time_that_audio_is_cut_off_is_told_once(steps: list[str]):
    labels = AudioLabels()
    is_playing = is_told = False
    for step in steps:
        if step == "interrupt":
            assert labels.interrupt() == (is_playing and not is_told)
            is_told = is_playing
            continue
        told = labels.receive({"type": f"output_audio_buffer.{step}", "response_id": "r1"})
        assert told == (step == "cleared" and not is_told)
        is_playing, is_told = step == "started", False
        assert labels.is_playing == is_playing
