import pytest
from realtime_core.testing import EventMiddlewareContract
from realtime_core.testing.middlewares import MiddlewareCase

from realtime_example.label import LabelMiddleware


class TestLabelMiddleware(EventMiddlewareContract):
    @pytest.fixture
    def case(self):
        return MiddlewareCase(
            make=lambda: LabelMiddleware("sales"), changes=frozenset({"response.create"})
        )


def test_a_response_is_labelled_and_keeps_what_it_has():
    label = LabelMiddleware("sales", key="team")
    asked = {"type": "response.create", "response": {"metadata": {"topic": "price"}}}
    assert label.outgoing(asked)["response"] == {"metadata": {"team": "sales", "topic": "price"}}


def test_tokens_are_counted_over_all_responses():
    label = LabelMiddleware("sales")
    for _ in range(2):
        label.incoming({"type": "response.done", "response": {"usage": {"total_tokens": 21}}})
    assert label.tokens == 42
