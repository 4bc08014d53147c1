import json

import pytest
from agent import ask
from openai import OpenAI
from websockets.exceptions import ConnectionClosedError


@pytest.fixture
def client(realtime_server):
    with OpenAI(base_url=realtime_server.base_url, api_key=realtime_server.api_key) as client:
        yield client


@pytest.mark.realtime_server(rules="rules.yaml")
def test_it_looks_the_weather_up(client, realtime_server):
    answer = ask(client, "What is the weather in Paris?")
    assert answer == "They say it is sunny in Paris."
    (session,) = realtime_server.sessions
    (call,) = session.turns[0].calls
    assert json.loads(call.arguments) == {"city": "Paris"}


@pytest.mark.realtime_server(faults=["error=response.create:rate_limit_exceeded"])
def test_it_tells_what_the_server_refuses(client):
    with pytest.raises(RuntimeError, match="rate_limit_exceeded"):
        ask(client, "Hello?")


@pytest.mark.realtime_server(faults=["disconnect@response.created"])
def test_it_does_not_wait_for_ever_when_the_connection_is_lost(client):
    with pytest.raises(ConnectionClosedError):
        ask(client, "Hello?")
