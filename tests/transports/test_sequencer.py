from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_transports.openai.sequencer import ResponseControl, ResponseCreateSequencer

CREATE = {"type": "response.create"}


def manual(number: int) -> dict[str, Any]:
    return {**CREATE, "response": {"metadata": {"n": number}}}


def error(**fields: object) -> dict[str, Any]:
    return {"type": "error", "error": fields}


@pytest.fixture
def sequencer() -> ResponseCreateSequencer:
    return ResponseCreateSequencer()


def test_a_request_leaves_at_once_when_nothing_runs(sequencer):
    sequencer.request_response_create(CREATE)
    assert sequencer.take_sends() == [{**CREATE, "event_id": "realtime_response_create_1"}]
    assert sequencer.response_control is ResponseControl.CREATE_REQUESTED


def test_automatic_requests_that_wait_are_answered_by_one_response(sequencer):
    sequencer.mark_response_created()
    for _ in range(3):
        sequencer.request_response_create(CREATE)
    sequencer.mark_response_done()
    assert len(sequencer.take_sends()) == 1
    sequencer.mark_response_created()
    sequencer.mark_response_done()
    assert sequencer.take_sends() == []


def test_a_request_made_while_one_is_in_flight_gets_its_own_response(sequencer):
    sequencer.request_response_create(CREATE)
    sequencer.request_response_create(CREATE)
    assert len(sequencer.take_sends()) == 1
    sequencer.mark_response_created()
    sequencer.mark_response_done()
    assert len(sequencer.take_sends()) == 1


def test_manual_requests_are_never_merged_and_keep_their_order(sequencer):
    sequencer.mark_response_created()
    for event in (CREATE, manual(1), CREATE, CREATE, manual(2)):
        sequencer.request_response_create(event, manual="response" in event)
    left = []
    for _ in range(4):
        sequencer.mark_response_done()
        left += sequencer.take_sends()
        sequencer.mark_response_created()
    assert [event.get("response") for event in left] == [
        None,
        manual(1)["response"],
        None,
        manual(2)["response"],
    ]


def test_merged_requests_survive_a_rejection(sequencer):
    sequencer.mark_response_created()
    for _ in range(3):
        sequencer.request_response_create(CREATE)
    sequencer.mark_response_done()
    (first,) = sequencer.take_sends()
    assert sequencer.handle_response_create_error(error(event_id=first["event_id"]))
    (second,) = sequencer.take_sends()
    assert second["event_id"] == "realtime_response_create_2"


def test_a_request_rejected_for_a_foreign_response_waits_for_its_end(sequencer):
    sequencer.request_response_create(manual(1), manual=True)
    sequencer.take_sends()
    assert sequencer.handle_response_create_error(
        error(code="conversation_already_has_active_response", message="wait")
    )
    assert sequencer.ongoing_response
    assert sequencer.take_sends() == []
    sequencer.mark_response_done()
    assert [event["response"] for event in sequencer.take_sends()] == [manual(1)["response"]]


@pytest.mark.parametrize(
    "event",
    [
        error(event_id="other", message="response.create bad"),
        error(code="x", message="y"),
        error(),
        {"type": "error"},
        {"type": "error", "error": None},
        {"type": "error", "error": "text"},
    ],
)
def test_an_error_about_something_else_changes_nothing(sequencer, event):
    sequencer.request_response_create(CREATE)
    assert not sequencer.handle_response_create_error(event)
    assert sequencer.pending_response_create_event_id == "realtime_response_create_1"


@pytest.mark.parametrize(
    "event", [error(code="response_create_failed"), error(message="invalid response.create")]
)
def test_an_unlinked_error_about_creating_rejects_the_request_in_flight(sequencer, event):
    sequencer.request_response_create(CREATE)
    assert sequencer.handle_response_create_error(event)
    assert sequencer.response_control is ResponseControl.FREE


def test_only_one_cancellation_is_asked_for(sequencer):
    assert not sequencer.begin_cancel_response()
    sequencer.mark_response_created()
    assert sequencer.begin_cancel_response()
    assert not sequencer.begin_cancel_response()


def test_a_cancellation_that_could_not_be_sent_may_be_tried_again(sequencer):
    sequencer.mark_response_created()
    sequencer.begin_cancel_response()
    sequencer.cancel_failed()
    assert sequencer.begin_cancel_response()


def test_cancelling_what_had_ended_lets_the_next_request_out(sequencer):
    sequencer.mark_response_created()
    sequencer.begin_cancel_response()
    sequencer.request_response_create(CREATE)
    assert sequencer.handle_response_create_error(error(code="response_cancel_not_active"))
    assert len(sequencer.take_sends()) == 1


def test_a_request_that_could_not_be_sent_is_given_up_and_the_next_tries(sequencer):
    sequencer.request_response_create(manual(1), manual=True)
    sequencer.request_response_create(manual(2), manual=True)
    (first,) = sequencer.take_sends()
    assert sequencer.send_failed(first["event_id"])
    assert not sequencer.send_failed(first["event_id"])
    assert [event["response"] for event in sequencer.take_sends()] == [manual(2)["response"]]


def test_a_withdrawn_request_is_never_sent(sequencer):
    sequencer.mark_response_created()
    kept = sequencer.request_response_create(manual(1), manual=True)
    withdrawn = sequencer.request_response_create(manual(2), manual=True)
    sequencer.withdraw(withdrawn)
    sequencer.withdraw(kept)
    sequencer.withdraw(kept)
    sequencer.mark_response_done()
    assert sequencer.take_sends() == []


def test_an_event_id_of_the_program_is_kept_and_uses_up_no_number(sequencer):
    sequencer.request_response_create({**CREATE, "event_id": "mine"})
    sequencer.mark_response_created()
    sequencer.mark_response_done()
    sequencer.request_response_create(CREATE)
    assert [event["event_id"] for event in sequencer.take_sends()] == [
        "mine",
        "realtime_response_create_1",
    ]


def test_a_lost_link_forgets_all_but_the_event_ids_given(sequencer):
    sequencer.request_response_create(CREATE)
    sequencer.request_response_create(CREATE)
    sequencer.release_waiters()
    assert sequencer.take_sends() == []
    sequencer.request_response_create(CREATE)
    assert sequencer.pending_response_create_event_id == "realtime_response_create_2"


def test_the_request_given_is_not_changed(sequencer):
    event = {"type": "response.create"}
    sequencer.request_response_create(event)
    assert event == {"type": "response.create"}


class AnyConversation(RuleBasedStateMachine):
    """Manual requests that the server does not refuse leave once each, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sequencer = ResponseCreateSequencer()
        self.asked = 0
        self.sent: list[int] = []

    @rule(is_manual=st.booleans())
    def ask(self, is_manual):
        if is_manual:
            self.asked += 1
        self.sequencer.request_response_create(
            manual(self.asked) if is_manual else CREATE, manual=is_manual
        )
        self.look()

    @rule()
    def created(self):
        self.sequencer.mark_response_created()
        self.look()

    @rule()
    def done(self):
        self.sequencer.mark_response_done()
        self.look()

    @rule()
    def cancel(self):
        was_ongoing = self.sequencer.ongoing_response
        assert self.sequencer.begin_cancel_response() <= was_ongoing

    @precondition(lambda self: self.sequencer.response_control is ResponseControl.CANCEL_REQUESTED)
    @rule()
    def cancelled_too_late(self):
        self.sequencer.handle_response_create_error(error(code="response_cancel_not_active"))
        self.look()

    def look(self):
        events = self.sequencer.take_sends()
        assert len(events) <= 1
        self.sent += [e["response"]["metadata"]["n"] for e in events if "response" in e]

    @invariant()
    def manual_requests_leave_in_order(self):
        assert self.sent == list(range(1, len(self.sent) + 1))

    @invariant()
    def a_request_is_in_flight_exactly_while_its_creation_is_asked_for(self):
        is_pending = self.sequencer.pending_response_create_event_id is not None
        is_asked = self.sequencer.response_control is ResponseControl.CREATE_REQUESTED
        assert is_pending == is_asked

    def teardown(self):
        for _ in range(2 * self.asked + 2):
            self.done()
        assert len(self.sent) == self.asked


test_any_conversation_gets_its_manual_requests_out_in_order = AnyConversation.TestCase
