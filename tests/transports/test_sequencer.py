from __future__ import annotations

from typing import Any

import pytest

from realtime_core.errors import ResponseError, ResponseTimeoutError, TransportError
from realtime_transports.openai.sequencer import (
    ANSWER_TIMEOUT_S,
    END_TIMEOUT_S,
    ResponseControl,
    ResponseCreateSequencer,
)

CREATE = {"type": "response.create"}
CANCEL = {"type": "response.cancel"}
BESIDE = {"type": "response.create", "response": {"conversation": "none"}}
ACTIVE = "conversation_already_has_active_response"


def manual(number: int) -> dict[str, Any]:
    return {**CREATE, "response": {"metadata": {"n": number}}}


def sent_numbers(sequencer: ResponseCreateSequencer) -> list[int]:
    """Which of the `manual` requests leave."""
    return [event["response"]["metadata"]["n"] for event in sequencer.take_sends()]


def send_first(sequencer: ResponseCreateSequencer, event: dict[str, Any]) -> str:
    """Let a manual request leave; its event id."""
    sequencer.request_response_create(event, manual=True)
    (sent,) = sequencer.take_sends()
    return str(sent["event_id"])


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


# Accepted for the time being


def test_a_request_refused_for_a_response_that_the_server_began_is_sent_when_that_has_ended(
    sequencer,
):
    event_id = send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection")
    assert sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    assert sequencer.take_sends() == []
    sequencer.mark_response_done("by turn detection")
    assert sent_numbers(sequencer) == [1]


def test_a_late_refusal_for_an_active_response_is_found_beyond_that_response(sequencer):
    event_id = send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection")
    sequencer.mark_response_done("by turn detection")
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    assert sent_numbers(sequencer) == [1]


def test_a_late_refusal_is_found_when_the_next_request_has_left_too(sequencer):
    event_id = send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection")
    sequencer.mark_response_done("by turn detection")
    send_first(sequencer, manual(2))
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    sequencer.mark_response_created("second")
    sequencer.mark_response_done("second")
    assert sent_numbers(sequencer) == [1]


def test_a_request_put_back_takes_along_those_that_it_stood_for(sequencer):
    sequencer.mark_response_created("first")
    for _ in range(3):
        sequencer.request_response_create(CREATE)
    sequencer.mark_response_done("first")
    (sent,) = sequencer.take_sends()
    sequencer.mark_response_created("by turn detection")
    sequencer.request_response_create(CREATE)
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=sent["event_id"]))
    sequencer.mark_response_done("by turn detection")
    assert len(sequencer.take_sends()) == 1
    sequencer.mark_response_created("second")
    sequencer.mark_response_done("second")
    assert sequencer.take_sends() == []


def test_a_request_put_back_comes_before_those_that_wait(sequencer):
    event_id = send_first(sequencer, manual(1))
    sequencer.request_response_create(manual(2), manual=True)
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    sequencer.mark_response_done()
    assert sent_numbers(sequencer) == [1]


def test_an_unlinked_error_that_another_is_active_is_about_no_request_beside(sequencer):
    send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection", in_conversation=True)
    send_first(sequencer, BESIDE)
    sequencer.mark_response_created("beside", in_conversation=False)
    sequencer.handle_response_create_error(error(code=ACTIVE))
    sequencer.mark_response_done("by turn detection")
    assert sent_numbers(sequencer) == [1]


def test_a_late_refusal_for_another_reason_lets_those_merged_into_the_request_try(sequencer):
    sequencer.mark_response_created("first")
    for _ in range(2):
        sequencer.request_response_create(CREATE)
    sequencer.mark_response_done("first")
    (sent,) = sequencer.take_sends()
    sequencer.mark_response_created("by turn detection")
    assert sequencer.handle_response_create_error(
        error(code="invalid_value", event_id=sent["event_id"])
    )
    sequencer.mark_response_done("by turn detection")
    assert len(sequencer.take_sends()) == 1


def test_an_unlinked_error_that_another_is_active_is_about_the_latest_request(sequencer):
    send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection")
    assert sequencer.handle_response_create_error(error(code=ACTIVE, event_id=None))
    sequencer.mark_response_done("by turn detection")
    assert sent_numbers(sequencer) == [1]


def test_an_unlinked_error_long_after_a_request_is_not_about_it(sequencer):
    send_first(sequencer, manual(1))
    sequencer.mark_response_created("own")
    sequencer.expire(ANSWER_TIMEOUT_S + 1)
    assert not sequencer.handle_response_create_error(error(code=ACTIVE))


def test_a_response_that_the_server_begins_swallows_no_request_that_waits(sequencer):
    sequencer.mark_response_created("by turn detection")
    sequencer.request_response_create(manual(1), manual=True)
    sequencer.mark_response_created("again by turn detection")
    sequencer.mark_response_done("again by turn detection")
    assert sent_numbers(sequencer) == [1]


# Which response has ended


def test_the_end_of_another_response_does_not_end_the_one_that_runs(sequencer):
    sequencer.mark_response_created("a")
    sequencer.request_response_create(CREATE)
    sequencer.mark_response_done("b")
    assert sequencer.ongoing_response
    assert sequencer.take_sends() == []
    sequencer.mark_response_done("a")
    assert len(sequencer.take_sends()) == 1


@pytest.mark.parametrize(("begun", "ended"), [(None, "a"), ("a", None), (None, None)])
def test_without_an_id_any_end_is_taken_for_that_of_the_one_that_runs(sequencer, begun, ended):
    sequencer.mark_response_created(begun)
    sequencer.mark_response_done(ended)
    assert not sequencer.ongoing_response


def test_a_response_that_begins_shows_that_the_one_before_is_over(sequencer):
    sequencer.mark_response_created("a")
    sequencer.mark_response_created("b")
    sequencer.mark_response_done("a")
    assert sequencer.ongoing_response
    sequencer.mark_response_done("b")
    assert not sequencer.ongoing_response


def test_the_end_of_a_response_whose_beginning_was_lost_accepts_the_request(sequencer):
    request = sequencer.request_response_create(CREATE)
    sequencer.mark_response_done("a")
    assert request.handle.is_settled
    assert sequencer.response_control is ResponseControl.FREE


# Beside the conversation


def test_a_request_beside_the_conversation_leaves_at_once(sequencer):
    sequencer.mark_response_created("a")
    sequencer.request_response_create(BESIDE, manual=True)
    assert len(sequencer.take_sends()) == 1
    assert sequencer.response_control is ResponseControl.FREE


def test_responses_beside_begin_and_end_without_the_conversation_noticing(sequencer):
    sequencer.mark_response_created("a", in_conversation=True)
    request = sequencer.request_response_create(BESIDE, manual=True)
    sequencer.request_response_create(manual(1), manual=True)
    sequencer.take_sends()
    sequencer.mark_response_created("b", in_conversation=False)
    assert request.handle.is_settled
    sequencer.mark_response_done("b", in_conversation=False)
    assert sequencer.ongoing_response
    sequencer.mark_response_done("a", in_conversation=True)
    assert sent_numbers(sequencer) == [1]


def test_a_response_in_the_conversation_is_not_taken_for_one_beside(sequencer):
    beside = sequencer.request_response_create(BESIDE, manual=True)
    inside = sequencer.request_response_create(CREATE)
    sequencer.mark_response_created("a", in_conversation=True)
    assert (inside.handle.result, beside.handle.is_settled) == ("a", False)
    sequencer.mark_response_created("b", in_conversation=False)
    assert beside.handle.result == "b"


def test_several_beside_are_accepted_in_their_order(sequencer):
    first, second = (sequencer.request_response_create(BESIDE, manual=True) for _ in range(2))
    sequencer.mark_response_created("a", in_conversation=False)
    assert (first.handle.is_settled, second.handle.is_settled) == (True, False)
    sequencer.mark_response_created("b", in_conversation=False)
    assert second.handle.is_settled


def test_where_a_server_does_not_say_it_what_left_first_begins_first(sequencer):
    inside = sequencer.request_response_create(CREATE)
    beside = sequencer.request_response_create(BESIDE, manual=True)
    sequencer.mark_response_created("a")
    assert (inside.handle.is_settled, beside.handle.is_settled) == (True, False)
    sequencer.mark_response_created("b")
    assert beside.handle.is_settled
    sequencer.mark_response_done("b")
    assert sequencer.ongoing_response


def test_a_foreign_response_beside_the_conversation_is_nobodys_answer(sequencer):
    sequencer.mark_response_created("a", in_conversation=True)
    sequencer.mark_response_done("a", in_conversation=True)
    request = sequencer.request_response_create(CREATE)
    sequencer.take_sends()
    sequencer.mark_response_created("foreign", in_conversation=False)
    assert not request.handle.is_settled
    assert not sequencer.ongoing_response
    assert not sequencer.begin_cancel_response()
    sequencer.mark_response_done("foreign", in_conversation=False)
    sequencer.mark_response_done("one begun before the link", in_conversation=False)
    assert not request.handle.is_settled
    sequencer.mark_response_created("b", in_conversation=True)
    assert request.handle.result == "b"


def test_a_response_beside_that_begins_after_its_deadline_answers_no_other_request(sequencer):
    sequencer.request_response_create(BESIDE, manual=True)
    sequencer.expire(ANSWER_TIMEOUT_S)
    request = sequencer.request_response_create(CREATE)
    sequencer.mark_response_created("late", in_conversation=False)
    assert not request.handle.is_settled
    sequencer.mark_response_done("late", in_conversation=False)
    sequencer.mark_response_created("a", in_conversation=True)
    assert request.handle.result == "a"


def test_a_response_taken_for_one_in_the_conversation_is_known_for_one_beside_in_the_end(sequencer):
    sequencer.mark_response_created("beside", in_conversation=False)
    sequencer.mark_response_created("a", in_conversation=True)
    sequencer.mark_response_done("a", in_conversation=True)
    request = sequencer.request_response_create(CREATE)
    sequencer.mark_response_done("beside", in_conversation=False)
    assert not request.handle.is_settled


def test_a_server_that_says_null_of_every_response_has_them_one_at_a_time(sequencer):
    for response_id in ("by turn detection", "another"):
        sequencer.mark_response_created(response_id, in_conversation=False)
        assert sequencer.ongoing_response
        request = sequencer.request_response_create(CREATE)
        assert sequencer.take_sends() == []
        sequencer.mark_response_done(response_id, in_conversation=False)
        assert len(sequencer.take_sends()) == 1
        sequencer.mark_response_created("asked for", in_conversation=False)
        assert request.handle.result == "asked for"
        sequencer.mark_response_done("asked for", in_conversation=False)


def test_what_a_server_says_of_conversations_is_forgotten_with_the_link(sequencer):
    sequencer.mark_response_created("a", in_conversation=True)
    sequencer.release_waiters()
    request = sequencer.request_response_create(CREATE)
    sequencer.mark_response_created("b", in_conversation=False)
    assert request.handle.result == "b"


def test_a_server_that_says_null_of_every_response_accepts_requests_all_the_same(sequencer):
    request = sequencer.request_response_create(CREATE)
    sequencer.mark_response_created("a", in_conversation=False)
    assert request.handle.is_settled
    assert sequencer.ongoing_response


def test_the_end_of_one_beside_whose_beginning_was_lost_accepts_it(sequencer):
    request = sequencer.request_response_create(BESIDE, manual=True)
    sequencer.mark_response_done("a", in_conversation=False)
    assert request.handle.is_settled


def test_one_beside_that_a_server_refuses_while_another_runs_waits_its_turn(sequencer):
    sequencer.mark_response_created("a")
    event_id = send_first(sequencer, {**manual(1), "response": {**BESIDE["response"]}})
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    assert sequencer.take_sends() == []
    sequencer.mark_response_done("a")
    assert len(sequencer.take_sends()) == 1


def test_a_refused_one_beside_fails_and_leaves_the_others_alone(sequencer):
    inside = sequencer.request_response_create(CREATE)
    sequencer.take_sends()
    event_id = send_first(sequencer, BESIDE)
    assert sequencer.handle_response_create_error(error(code="invalid_value", event_id=event_id))
    assert not inside.handle.is_settled


# Cancelling


def test_a_response_interrupted_before_it_began_is_cancelled_when_it_begins(sequencer):
    sequencer.request_response_create(CREATE)
    sequencer.take_sends()
    assert not sequencer.begin_cancel_response()
    assert not sequencer.begin_cancel_response()
    sequencer.mark_response_created("a")
    assert sequencer.take_sends() == [CANCEL]
    assert not sequencer.begin_cancel_response()


def test_requests_that_wait_survive_an_interruption(sequencer):
    sequencer.request_response_create(manual(1), manual=True)
    sequencer.request_response_create(manual(2), manual=True)
    sequencer.begin_cancel_response()
    sequencer.take_sends()
    sequencer.mark_response_created("a")
    sequencer.take_sends()
    sequencer.mark_response_done("a")
    assert sent_numbers(sequencer) == [2]
    sequencer.mark_response_created("b")
    assert sequencer.take_sends() == []


def test_an_interruption_ends_the_response_for_which_the_request_was_refused(sequencer):
    sequencer.request_response_create(CREATE)
    sequencer.take_sends()
    sequencer.begin_cancel_response()
    sequencer.handle_response_create_error(error(code=ACTIVE))
    assert sequencer.take_sends() == [CANCEL]


def test_an_interrupted_request_is_not_sent_again_though_refused_late(sequencer):
    event_id = send_first(sequencer, manual(1))
    sequencer.begin_cancel_response()
    sequencer.mark_response_created("by turn detection")
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    assert sequencer.take_sends() == [CANCEL]
    sequencer.mark_response_done("by turn detection")
    assert sequencer.take_sends() == []


def test_a_request_whose_seeming_answer_was_interrupted_is_not_sent_again(sequencer):
    event_id = send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection")
    assert sequencer.begin_cancel_response()
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    sequencer.mark_response_done("by turn detection")
    assert sequencer.take_sends() == []


@pytest.mark.parametrize("code", [ACTIVE, "invalid_value"])
def test_an_interrupted_request_that_is_refused_fails_with_all_it_stood_for(sequencer, code):
    sequencer.mark_response_created("a")
    requests = [sequencer.request_response_create(CREATE) for _ in range(2)]
    sequencer.mark_response_done("a")
    (sent,) = sequencer.take_sends()
    later = sequencer.request_response_create(manual(2), manual=True)
    sequencer.begin_cancel_response()
    sequencer.handle_response_create_error(error(code=code, event_id=sent["event_id"]))
    assert [request.handle.error.code for request in requests] == [code, code]
    assert sequencer.take_failures() == []
    left = sequencer.take_sends()
    sequencer.mark_response_done()
    left += sequencer.take_sends()
    assert next(event for event in left if event != CANCEL)["response"] == later.event["response"]


def test_a_cancellation_that_the_server_refuses_may_be_tried_again(sequencer):
    sequencer.mark_response_created("a")
    sequencer.begin_cancel_response()
    assert sequencer.handle_response_create_error(error(message="invalid response.cancel"))
    assert sequencer.ongoing_response
    assert sequencer.begin_cancel_response()


def test_a_cancellation_of_the_program_is_known_by_its_event_id(sequencer):
    sequencer.mark_response_created("a")
    assert sequencer.note_cancel({**CANCEL, "event_id": "mine"})
    assert not sequencer.handle_response_create_error(
        error(code="response_cancel_not_active", event_id="other")
    )
    assert sequencer.handle_response_create_error(
        error(code="response_cancel_not_active", event_id="mine")
    )
    assert not sequencer.ongoing_response


NOT_ACTIVE = error(code="response_cancel_not_active")


def test_that_another_response_was_over_does_not_end_the_one_that_runs(sequencer):
    sequencer.mark_response_created("a")
    sequencer.begin_cancel_response()
    sequencer.note_cancel({**CANCEL, "response_id": "gone"})
    assert not sequencer.handle_response_create_error(NOT_ACTIVE)
    assert sequencer.ongoing_response
    assert sequencer.handle_response_create_error(NOT_ACTIVE)
    assert not sequencer.ongoing_response


def test_an_error_that_names_the_cancellation_of_another_response_is_about_that(sequencer):
    sequencer.mark_response_created("a")
    sequencer.begin_cancel_response()
    sequencer.note_cancel({**CANCEL, "response_id": "gone", "event_id": "mine"})
    assert not sequencer.handle_response_create_error(
        error(code="response_cancel_not_active", event_id="mine")
    )
    assert sequencer.handle_response_create_error(NOT_ACTIVE)
    assert not sequencer.ongoing_response


def test_a_cancellation_of_another_response_is_answered_by_its_end(sequencer):
    sequencer.mark_response_created("a")
    sequencer.note_cancel({**CANCEL, "response_id": "b"})
    sequencer.mark_response_done("b", in_conversation=False)
    sequencer.begin_cancel_response()
    assert sequencer.handle_response_create_error(NOT_ACTIVE)
    assert not sequencer.ongoing_response


def test_a_cancellation_of_another_response_is_waited_for_in_vain_no_longer_than_others(sequencer):
    sequencer.mark_response_created("a")
    sequencer.note_cancel({**CANCEL, "response_id": "b"})
    sequencer.expire(ANSWER_TIMEOUT_S + 1)
    sequencer.begin_cancel_response()
    assert sequencer.handle_response_create_error(NOT_ACTIVE)


def test_a_cancellation_of_a_response_beside_is_not_that_of_the_one_that_runs(sequencer):
    sequencer.mark_response_created("a")
    assert not sequencer.note_cancel({**CANCEL, "response_id": "b"})
    assert sequencer.begin_cancel_response()


# Time


def test_a_request_without_an_answer_fails_and_the_next_leaves(sequencer):
    request = sequencer.request_response_create(manual(1), manual=True)
    sequencer.request_response_create(manual(2), manual=True)
    sequencer.take_sends()
    assert sequencer.next_deadline == ANSWER_TIMEOUT_S
    assert not sequencer.expire(ANSWER_TIMEOUT_S - 0.001)
    assert sequencer.expire(ANSWER_TIMEOUT_S)
    assert isinstance(request.handle.error, ResponseTimeoutError)
    assert sequencer.take_failures() == [request.handle.error]
    assert sent_numbers(sequencer) == [2]
    assert sequencer.next_deadline == 2 * ANSWER_TIMEOUT_S


def test_those_merged_into_a_request_without_an_answer_fail_with_it_and_once(sequencer):
    sequencer.mark_response_created()
    requests = [sequencer.request_response_create(CREATE) for _ in range(3)]
    sequencer.mark_response_done()
    sequencer.expire(ANSWER_TIMEOUT_S)
    assert all(isinstance(r.handle.error, ResponseTimeoutError) for r in requests)
    assert len(sequencer.take_failures()) == 1
    assert sequencer.next_deadline is None


def test_one_beside_without_an_answer_fails_in_its_own_time(sequencer):
    sequencer.expire(3)
    request = sequencer.request_response_create(BESIDE, manual=True)
    sequencer.expire(ANSWER_TIMEOUT_S + 3)
    assert isinstance(request.handle.error, ResponseTimeoutError)


def test_a_request_behind_a_response_without_an_end_is_sent_all_the_same(sequencer):
    sequencer.mark_response_created("a")
    sequencer.request_response_create(manual(1), manual=True)
    assert sequencer.next_deadline == END_TIMEOUT_S
    sequencer.expire(END_TIMEOUT_S)
    assert sent_numbers(sequencer) == [1]


def test_a_request_sent_too_early_waits_on_and_tries_again(sequencer):
    sequencer.mark_response_created("a")
    sequencer.request_response_create(manual(1), manual=True)
    for times in range(1, 4):
        sequencer.expire(times * END_TIMEOUT_S)
        (sent,) = sequencer.take_sends()
        sequencer.handle_response_create_error(error(code=ACTIVE, event_id=sent["event_id"]))
        assert sequencer.take_sends() == []
        assert sequencer.next_deadline == (times + 1) * END_TIMEOUT_S
    sequencer.mark_response_done("a")
    assert sent_numbers(sequencer) == [1]


def test_the_late_end_of_a_response_given_up_accepts_no_request(sequencer):
    sequencer.mark_response_created("a")
    request = sequencer.request_response_create(manual(1), manual=True)
    sequencer.expire(END_TIMEOUT_S)
    sequencer.mark_response_done("a")
    assert not request.handle.is_settled


def test_an_interruption_of_a_response_given_up_is_for_the_next_one_too(sequencer):
    sequencer.mark_response_created("a")
    sequencer.request_response_create(manual(1), manual=True)
    sequencer.expire(END_TIMEOUT_S)
    sequencer.take_sends()
    assert sequencer.begin_cancel_response()
    sequencer.mark_response_created("b")
    assert sequencer.take_sends() == [CANCEL]


def test_the_wait_for_an_end_begins_when_there_is_something_that_waits(sequencer):
    sequencer.mark_response_created("a")
    assert sequencer.next_deadline is None
    sequencer.expire(100)
    sequencer.request_response_create(CREATE)
    assert sequencer.next_deadline == 100 + END_TIMEOUT_S
    sequencer.expire(130)
    sequencer.mark_response_created("b")
    assert sequencer.next_deadline == 130 + END_TIMEOUT_S


# Handles


def test_a_handle_gets_the_id_of_the_response_and_so_do_those_merged_into_it(sequencer):
    sequencer.mark_response_created("a")
    requests = [sequencer.request_response_create(CREATE) for _ in range(2)]
    sequencer.mark_response_done("a")
    sequencer.mark_response_created("b")
    assert [request.handle.result for request in requests] == ["b", "b"]


def test_a_refusal_fails_its_handle_with_the_code_and_is_not_told_again(sequencer):
    request = sequencer.request_response_create(CREATE)
    sequencer.handle_response_create_error(
        error(code="invalid_value", message="no such voice", event_id="realtime_response_create_1")
    )
    failure = request.handle.error
    assert isinstance(failure, ResponseError)
    assert failure.code == "invalid_value"
    assert "no such voice" in str(failure)
    assert sequencer.take_failures() == []


def test_a_request_that_could_not_be_sent_fails_with_the_reason(sequencer):
    request = sequencer.request_response_create(CREATE)
    reason = OSError("full")
    sequencer.send_failed("realtime_response_create_1", reason)
    assert request.handle.error is reason
    assert sequencer.take_failures() == [reason]


def test_the_end_of_the_link_fails_every_open_handle_and_tells_nobody_else(sequencer):
    requests = [sequencer.request_response_create(manual(n), manual=True) for n in range(3)]
    requests.append(sequencer.request_response_create(BESIDE, manual=True))
    sequencer.release_waiters()
    assert all(isinstance(request.handle.error, TransportError) for request in requests)
    assert sequencer.take_failures() == []
    assert sequencer.next_deadline is None


def test_a_request_that_seemed_accepted_and_gets_no_answer_after_all_is_told(sequencer):
    event_id = send_first(sequencer, manual(1))
    sequencer.mark_response_created("by turn detection")
    sequencer.handle_response_create_error(error(code=ACTIVE, event_id=event_id))
    sequencer.mark_response_done("by turn detection")
    sequencer.expire(ANSWER_TIMEOUT_S)
    assert isinstance(sequencer.take_failures()[0], ResponseTimeoutError)


def test_many_requests_leave_in_time_proportional_to_their_number(sequencer):
    requests = [sequencer.request_response_create(manual(n), manual=True) for n in range(20_000)]
    left = sent_numbers(sequencer)
    while left[-1] < len(requests) - 1:
        sequencer.mark_response_created("a")
        sequencer.mark_response_done("a")
        left += sent_numbers(sequencer)
    assert left == list(range(20_000))
