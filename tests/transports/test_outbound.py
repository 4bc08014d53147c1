"""What a program's calls refuse: data of the wrong form, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from realtime_core.errors import ValidationError
from realtime_transports.openai.protocol import ClientProtocol

CALL = {"id": "fc", "name": "f", "call_id": "call"}
WRONG = [5, 1.5, None, [], ["hi"], (), b"hi", object(), str]
MESSAGE = "message must be a text, or have a list of parts under 'content', not "


def refused(protocol: ClientProtocol, call: Callable[[], Any]) -> str:
    """What a call that sends nothing is told."""
    with pytest.raises(ValidationError) as caught:
        call()
    assert protocol.take_sends() == []
    assert protocol.history == ()
    return str(caught.value)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_message_is_a_text_or_has_parts(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.send_message(wrong))
    assert told == MESSAGE + type(wrong).__name__


@pytest.mark.parametrize("content", [None, 5, "hi", b"hi", {"type": "input_text"}])
def test_the_parts_of_a_message_are_a_list(protocol, content: Any):
    told = refused(protocol, lambda: protocol.send_message({"content": content}))
    assert (
        told == f"message must have a list of parts under 'content', not {type(content).__name__}"
    )


@pytest.mark.parametrize("part", [5, "hi", None, ["hi"]])
def test_a_part_of_a_message_is_a_mapping(protocol, part: Any):
    told = refused(protocol, lambda: protocol.send_message({"content": [part]}))
    assert told == f"a part of message must be a mapping, not {type(part).__name__}"


@pytest.mark.parametrize("wrong", [5, "high", ["detail"]])
def test_the_providers_data_of_an_image_are_a_mapping(protocol, wrong: Any):
    image = {"type": "input_image", "image": "https://x/y.png", "provider_data": wrong}
    told = refused(protocol, lambda: protocol.send_message({"content": [image]}))
    assert told == f"provider_data of an image must be a mapping, not {type(wrong).__name__}"


@pytest.mark.parametrize("wrong", [5, "p", ["previous_item_id"]])
def test_other_data_of_an_event_are_a_mapping(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.send_message("hi", wrong))
    assert told == f"other_event_data must be a mapping, not {type(wrong).__name__}"


@pytest.mark.parametrize("wrong", [5, None, b"png", ["https://x/y.png"]])
def test_an_image_is_a_url(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.add_image(wrong))
    assert told == f"image must be a data: or https: URL, not {type(wrong).__name__}"


@pytest.mark.parametrize("wrong", [5, "AQI=", [1, 2], np.zeros(2, np.int16)])
def test_audio_is_bytes(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.send_audio(wrong, commit=True))
    assert told.startswith(f"pcm must be bytes, not {type(wrong).__name__}")


@pytest.mark.parametrize("wrong", [5, "be brief", []])
def test_options_of_a_response_are_a_mapping(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.request_response(wrong))
    assert told == f"response must be a mapping, not {type(wrong).__name__}"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_call_is_one_or_a_mapping(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.send_function_call_output(wrong, "sunny"))
    assert told == f"tool_call must be a function_call or a mapping, not {type(wrong).__name__}"


@pytest.mark.parametrize("wrong", WRONG)
def test_an_approval_request_is_one_or_a_mapping(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.send_mcp_response(wrong, approved=True))
    assert told.startswith("approval_request must be an mcp_approval_request or a mapping, not ")


@pytest.mark.parametrize("wrong", WRONG)
def test_an_event_is_a_mapping(protocol, wrong: Any):
    told = refused(protocol, lambda: protocol.send_event(wrong))
    assert told == f"event must be a mapping, not {type(wrong).__name__}"


@pytest.mark.parametrize("pcm", [b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2")])
def test_audio_may_be_any_kind_of_bytes(protocol, pcm: Any):
    protocol.send_audio(pcm)
    (sent,) = protocol.take_sends()
    assert sent["audio"] == "AQI="
