"""Errors are split by whose fault it is, and carry what a program needs to decide."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from realtime_core import errors
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    HistoryResetError,
    PluginError,
    ProtocolError,
    RealtimeError,
    ResponseError,
    ResponseTimeoutError,
    TransportError,
    UserError,
    ValidationError,
)
from realtime_core.handles import HistoryStep

CLASSES = [
    each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, Exception)
]

EXAMPLES = [
    UserError("wrong moment"),
    ValidationError("audio.output.speed must be a number"),
    TransportError("not connected"),
    ConnectError(ConnectStage.HTTP, "refused", status=401, provider_message="bad key"),
    ConnectError(ConnectStage.ICE, "no pair works"),
    ConnectionLostError("it is gone", silent_for_s=2.5),
    ConnectionLostError("it is gone"),
    ProtocolError("this is no JSON"),
    ResponseError("refused", code="invalid_value"),
    ResponseTimeoutError("nothing came"),
    HistoryResetError((HistoryStep("delete", "item_1"),), ("item_1",)),
    PluginError("it is broken", plugin="colours"),
    PluginError("there is none"),
    AudioError("the file is empty"),
]


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (UserError, RealtimeError),
        (ValidationError, UserError),
        (TransportError, RealtimeError),
        (ConnectError, TransportError),
        (ConnectionLostError, TransportError),
        (ProtocolError, RealtimeError),
        (ResponseError, RealtimeError),
        (ResponseTimeoutError, ResponseError),
        (HistoryResetError, RealtimeError),
        (PluginError, RealtimeError),
        (AudioError, RealtimeError),
    ],
)
def test_each_error_has_its_place_in_the_tree(error: type[Exception], base: type[Exception]):
    assert error.__base__ is base


def test_every_error_is_public_and_in_the_tree_drawn_at_the_top():
    for error in CLASSES:
        assert issubclass(error, RealtimeError)
        assert error.__name__ in errors.__all__
        assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_an_error_survives_the_way_out_of_another_process(error: RealtimeError):
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_there_is_an_example_of_every_error_but_the_base():
    assert {type(error) for error in EXAMPLES} == set(CLASSES) - {RealtimeError}


def test_a_connect_error_has_its_stage_and_what_the_server_said():
    error = ConnectError(ConnectStage.HTTP, "refused", status=429, provider_message="slow down")
    assert (error.stage, error.status, error.provider_message) == ("http", 429, "slow down")
    assert str(error) == "refused"


def test_what_an_error_has_not_is_none():
    error = ConnectError(ConnectStage.DTLS, "no keys")
    assert error.status is None
    assert error.provider_message is None
    assert ConnectionLostError("gone").silent_for_s is None
    assert PluginError("none").plugin is None


def test_the_stages_are_in_the_order_in_which_a_connection_passes_them():
    assert [stage.value for stage in ConnectStage] == [
        "key",
        "audio",
        "http",
        "sdp",
        "ice",
        "dtls",
        "channel",
        "session",
    ]
