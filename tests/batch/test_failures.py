from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.answer import TurnFailedError
from realtime_core.batch.failures import MAX_SERVER_DELAY_S, describe_failure, retry_delay_s
from realtime_core.batch.questions import QuestionError
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    PluginError,
    TransportError,
    UserError,
)

RNG = random.Random(1)  # noqa: S311 - nothing depends on it but a delay

WORTH_IT = [
    ConnectError(ConnectStage.HTTP, "refused"),
    ConnectError(ConnectStage.HTTP, "slow down", status=429),
    ConnectError(ConnectStage.HTTP, "overloaded", status=503),
    ConnectError(ConnectStage.ICE, "no pair"),
    ConnectError(ConnectStage.SESSION, "took longer than 5 s"),
    ConnectionLostError("gone"),
    TransportError("closed"),
    TurnFailedError("failed", code="server_error"),
    TurnFailedError("failed", code="rate_limit_exceeded"),
]

IN_VAIN = [
    ConnectError(ConnectStage.HTTP, "bad key", status=401),
    ConnectError(ConnectStage.HTTP, "no such model", status=404),
    ConnectError(ConnectStage.SDP, "no SDP"),
    ConnectError(ConnectStage.SESSION, "refused", provider_message="unknown voice"),
    QuestionError("no audio"),
    AudioError("disk full"),
    TurnFailedError("it did not answer"),
    TurnFailedError("refused", code="invalid_request_error"),
    UserError("wrong"),
    PluginError("broken"),
    RuntimeError("bug"),
]


@pytest.mark.parametrize("error", WORTH_IT, ids=repr)
def test_what_the_network_or_a_busy_server_did_is_worth_another_attempt(error: Exception):
    assert retry_delay_s(error, 1, RNG) is not None
    assert describe_failure(error, is_connected=True, turn=1).is_retryable


@pytest.mark.parametrize("error", IN_VAIN, ids=repr)
def test_what_will_happen_again_is_not_tried_again(error: Exception):
    assert retry_delay_s(error, 1, RNG) is None
    assert not describe_failure(error, is_connected=True, turn=1).is_retryable


def test_the_servers_delay_is_kept_to():
    error = ConnectError(ConnectStage.HTTP, "slow down", status=429, retry_after_s=17.0)
    delay_s = retry_delay_s(error, 1, RNG)
    assert delay_s is not None
    assert 17.0 <= delay_s <= 17.25
    error.retry_after_s = 1e9
    assert (retry_delay_s(error, 1, RNG) or 0) <= MAX_SERVER_DELAY_S + 1


@given(st.integers(1, 200), st.integers())
def test_delays_grow_up_to_a_minute_and_differ_by_chance(attempt: int, seed: int):
    delay_s = retry_delay_s(TransportError("x"), attempt, random.Random(seed))  # noqa: S311
    full_s = min(60.0, 2.0 ** (attempt - 1))
    assert delay_s is not None
    assert full_s / 2 <= delay_s <= full_s


@pytest.mark.parametrize(
    ("error", "is_connected", "stage"),
    [
        (QuestionError("x"), False, "input"),
        (ConnectError(ConnectStage.DTLS, "x"), False, "dtls"),
        (AudioError("x"), True, "output"),
        (ConnectionLostError("x"), True, "turn"),
        (TurnFailedError("x"), True, "turn"),
        (PluginError("x"), False, "setup"),
    ],
)
def test_a_failure_names_its_stage(error: Exception, is_connected: bool, stage: str):
    assert describe_failure(error, is_connected=is_connected, turn=None).stage == stage


def test_a_failure_tells_what_the_server_said_and_no_secret():
    error = ConnectError(ConnectStage.HTTP, "no key sk-abcdefghijklmnopqrstuvwx \ud800", status=429)
    told = describe_failure(error, is_connected=False, turn=None)
    assert (told.kind, told.status) == ("ConnectError", 429)
    assert told.message == "no key *** \ufffd"
    assert describe_failure(QuestionError("x", turn=3), is_connected=False, turn=None).turn == 3
