"""The runner itself: it finds what is wrong, survives what is broken, and counts right."""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime_core.errors import ConnectError, ConnectStage, TransportError, UserError
from tests.conformance import test_vectors
from tests.conformance.case import VECTORS, Case, Scene, load_folder, load_quirks
from tests.conformance.compare import difference, matches
from tests.conformance.names import from_config, from_payload
from tests.conformance.report import report
from tests.conformance.rules import Rule, check_rule
from tests.conformance.run import Outcome, judge, run_case
from tests.conformance.stage import Stage
from tests.conformance.trace import Emitted, Failure, HttpCall, Promise, Sent, Trace
from tests.conformance.values import UNDEFINED, ErrorShape, canonical_ids, decode
from tests.conformance.virtual_loop import VirtualLoop, run_virtually, settle

REPOSITORY = Path(__file__).parents[2]

FORMATS = {
    "name": "formats",
    "area": "small",
    "transport": "util",
    "steps": [{"util": "normalizeAudioFormat", "args": ["g711_ulaw"]}],
    "expect": {
        "gets": [{"step": 0, "util": "normalizeAudioFormat", "value": {"type": "audio/pcmu"}}]
    },
}


def a_case(raw: Any = FORMATS, **changes: Any) -> Case:
    raw = {**copy.deepcopy(raw), **changes}
    return Case(raw["name"], raw["area"], raw)


def a_scene() -> Scene:
    return Scene("webrtc", [])


# Outcomes


def test_a_right_expectation_passes() -> None:
    assert run_case(a_case()).kind == "passed"


def test_a_wrong_expectation_fails_and_tells_both_sides() -> None:
    wrong = {"gets": [{"step": 0, "util": "normalizeAudioFormat", "value": {"type": "audio/pcma"}}]}
    outcome = run_case(a_case(expect=wrong))
    assert outcome.kind == "failed"
    assert "audio/pcma" in outcome.detail
    assert "audio/pcmu" in outcome.detail


def test_an_expectation_of_nothing_fails_when_something_happens() -> None:
    assert run_case(a_case(expect={})).kind == "failed"


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": [{"util": "noSuchFunction", "args": []}]},
        {"steps": [{"dance": 1}]},
        {"steps": [{"util": "normalizeAudioFormat", "args": 5}]},
        {"steps": "none"},
        {"expect": 7},
        {"transport": "webrtc", "steps": [{"call": "noSuchMethod"}]},
        {"transport": ["webrtc"]},
    ],
)
def test_a_case_that_cannot_be_played_is_a_failed_case(changes: dict[str, Any]) -> None:
    outcome = run_case(a_case(**changes))
    assert outcome.kind == "failed"
    assert outcome.detail


def test_a_transport_that_does_not_exist_is_pending() -> None:
    assert run_case(a_case(transport="carrier-pigeon")).kind == "pending"


@pytest.mark.parametrize(
    "changes", [{"transport": "carrier-pigeon"}, {"steps": [{"util": "noSuchUtility"}]}]
)
def test_a_case_that_is_not_played_as_recorded_fails_whatever_it_touches(
    changes: dict[str, Any],
) -> None:
    case = a_case(touches=["unknown-type-ignored"], **changes)
    with pytest.raises(pytest.fail.Exception):
        test_vectors.test_transports_do_what_was_recorded(case)


def test_a_case_of_internals_is_not_applicable() -> None:
    outcome = run_case(a_case(transport="webrtc", steps=[{"call": "_interrupt", "args": [1]}]))
    assert outcome.kind == "not_applicable"
    assert "internal" in outcome.detail


def test_a_case_that_does_not_end_fails_at_its_time_limit() -> None:
    async def hang(stage: Stage, loop: VirtualLoop) -> None:
        while True:
            pass

    outcome = run_case(a_case(), drivers={"util": hang}, time_limit_s=0.05)
    assert outcome == Outcome("failed", "still running after 0.05 s of real time")


# Rules


def _told(step: int, event: str) -> Trace:
    return Trace(emitted=[Emitted(step, event, [])])


def _rename(old: str, new: str, quirk: str = "location-parse") -> Rule:
    def rewrite(scene: Scene, expected: Trace) -> None:
        for emitted in expected.emitted:
            if emitted.type == old:
                emitted.type = new

    return Rule(quirk, "another name", rewrite)


def test_a_case_that_passes_by_a_rule_differs_under_its_quirk() -> None:
    rules = [_rename("other", "any"), _rename("a", "b", "bearer-undefined")]
    outcome = judge(a_scene(), _told(0, "a"), _told(0, "b"), rules)
    assert (outcome.kind, outcome.quirk) == ("differs", "bearer-undefined")


def test_a_case_counts_for_the_rule_that_it_needs() -> None:
    def add_nothing_needed(scene: Scene, expected: Trace) -> None:
        expected.until = 9

    rules = [
        Rule("location-parse", "nothing", add_nothing_needed),
        _rename("a", "b", "url-not-encoded"),
    ]
    assert judge(a_scene(), _told(0, "a"), _told(0, "b"), rules).quirk == "url-not-encoded"


def test_a_rule_does_not_excuse_another_difference() -> None:
    outcome = judge(a_scene(), _told(0, "a"), _told(0, "c"), [_rename("a", "b")])
    assert outcome.kind == "failed"


def test_a_rule_changes_nothing_where_the_recording_is_met() -> None:
    assert judge(a_scene(), _told(0, "a"), _told(0, "a"), [_rename("a", "b")]).kind == "passed"


def test_a_rule_without_a_known_quirk_is_refused() -> None:
    with pytest.raises(ValueError, match="no known quirk"):
        check_rule(_rename("a", "b", "i-felt-like-it"), load_quirks())


def test_a_rule_against_a_quirk_to_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="must be kept"):
        check_rule(_rename("a", "b", "strict-dropped"), load_quirks())


# Comparison


def test_a_boolean_is_no_number_and_one_is_one_point_zero() -> None:
    def sent(value: Any) -> Trace:
        return Trace(sent=[Sent(0, 1, {"x": value})])

    assert not difference(sent(1), sent(1.0))
    assert difference(sent(1), sent(True))
    assert difference(sent(None), Trace(sent=[Sent(0, 1, {})]))


def test_the_step_counts() -> None:
    assert difference(_told(0, "a"), _told(1, "a"))


def test_what_is_sent_is_compared_link_by_link() -> None:
    first, second = Sent(0, 1, {"type": "a"}), Sent(0, 2, {"type": "b"})
    assert not difference(Trace(sent=[first, second]), Trace(sent=[second, first]))
    assert difference(Trace(sent=[first]), Trace(sent=[Sent(0, 2, {"type": "a"})]))


def test_ids_that_a_client_counts_up_are_compared_by_their_number() -> None:
    recorded = {"event_id": "agents_js_response_create_2", "other": "agents_delete_1"}
    ours = {"event_id": "realtime_response_create_2", "other": "realtime_delete_1"}
    assert canonical_ids(recorded) == canonical_ids(ours)
    assert canonical_ids("agents_create_1") != canonical_ids("realtime_create_2")


def test_only_the_user_agent_is_left_out_of_headers() -> None:
    def request(**headers: str) -> Trace:
        return Trace(http=[HttpCall(0, "POST", "u", headers, "")])

    assert not difference(request(a="1", **{"user-agent": "x"}), request(a="1"))
    assert difference(request(a="1"), request(a="2"))


def test_an_outcome_after_the_last_compared_step_counts_as_pending() -> None:
    expected = Trace(promises=[Promise("connect", 0, 5, "ok")])
    expected.forget_from(3)
    assert not difference(expected, Trace(promises=[Promise("connect", 0, 4, "error")]))
    assert difference(expected, Trace(promises=[Promise("connect", 0, 2, "error")]))


def test_a_coroutine_that_raises_is_a_call_that_raises() -> None:
    error = ErrorShape("Error", "x")
    assert not difference(
        Trace(failures=[Failure(0, "reject", error, "connect", 0)]),
        Trace(failures=[Failure(0, "call", TransportError("y"), "connect")]),
    )
    assert difference(
        Trace(failures=[Failure(0, "listener", error)]),
        Trace(failures=[Failure(0, "call", TransportError("y"))]),
    )


@pytest.mark.parametrize(
    ("shape", "error", "is_same"),
    [
        (ErrorShape("Error", "anything"), TransportError("else"), True),
        (ErrorShape("Error", "anything"), UserError("else"), False),
        (ErrorShape("UserError", "Set `apiKey`."), UserError("set `api_key`"), True),
        (ErrorShape("UserError", "a"), UserError("b"), False),
        (
            ErrorShape("Error", "Realtime call request failed with status 401: no"),
            ConnectError(ConnectStage.HTTP, "Realtime call request failed with status 401: no"),
            True,
        ),
        (
            ErrorShape("Error", "Realtime call request failed with status 401: no"),
            ConnectError(ConnectStage.HTTP, "Realtime call request failed with status 500: no"),
            False,
        ),
    ],
)
def test_errors_are_compared_by_class_and_by_what_the_contract_says(
    shape: ErrorShape, error: Exception, is_same: bool
) -> None:
    assert matches(shape, error) is is_same


# Reading


def test_special_values_are_decoded_at_any_depth() -> None:
    spelled = {"a": [{"$number": "-Infinity"}, {"$zeros": 2}], "b": {"$b64zeros": 3}}
    assert decode(spelled) == {"a": [float("-inf"), b"\0\0"], "b": "AAAA"}
    assert decode({"$undefined": True}) is UNDEFINED
    assert decode({"$schema": "x", "$number": 1}) == {"$schema": "x", "$number": 1}


def test_only_the_names_of_the_sdk_are_translated() -> None:
    config = {
        "toolChoice": "auto",
        "audio": {"input": {"turnDetection": {"silenceDurationMs": 1}}},
        "providerData": {"someKey": 1},
        "tools": [{"parameters": {"aB": 1}}],
    }
    assert from_config(config) == {
        "tool_choice": "auto",
        "audio": {"input": {"turn_detection": {"silenceDurationMs": 1}}},
        "provider_data": {"someKey": 1},
        "tools": [{"parameters": {"aB": 1}}],
    }
    raw = {"type": "x", "itemId": 1}
    assert from_payload("response.created", raw) == raw
    assert from_payload("item_deleted", {"itemId": "a"}) == {"item_id": "a"}


def test_a_key_that_javascript_does_not_know_is_one_that_python_does_not_know() -> None:
    assert from_config({"output_modalities": ["text"]}) == {"outputModalities": ["text"]}


def test_being_first_differs_from_nothing_said_about_the_place() -> None:
    assert from_payload("item_update", {"previousItemId": None, "output": None}) == {
        "previous_item_id": None
    }
    assert from_payload("item_update", {"previousItemId": UNDEFINED}) == {}


# Time


def test_timers_run_only_when_the_clock_is_moved_and_in_order() -> None:
    ran: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        loop.call_later(0.2, ran.append, "second")

        def first() -> None:
            ran.append("first")
            loop.call_later(0.05, ran.append, "chained")

        loop.call_later(0.1, first)
        await settle()
        assert ran == []
        await loop.advance(150)
        assert ran == ["first", "chained"]
        await loop.advance(49)
        assert ran == ["first", "chained"]
        await loop.advance(1)

    run_virtually(main)
    assert ran == ["first", "chained", "second"]


def test_deadlines_of_asyncio_follow_the_clock() -> None:
    async def main(loop: VirtualLoop) -> None:
        async def wait() -> str:
            try:
                async with asyncio.timeout(5):
                    await asyncio.Event().wait()
            except TimeoutError:
                return f"late at {loop.time():g}"
            return "in time"

        waiting = loop.create_task(wait())
        await settle()
        await loop.advance(4_999)
        assert not waiting.done()
        await loop.advance(1)
        assert waiting.result() == "late at 1005"

    run_virtually(main)


# Report


def test_the_five_kinds_add_up_to_the_total() -> None:
    outcomes = [
        Outcome("passed"),
        Outcome("failed", "x"),
        Outcome("differs", "x", "q"),
        Outcome("pending"),
        Outcome("not_applicable"),
    ]
    result = report((a_case(name=f"case{i}"), outcome) for i, outcome in enumerate(outcomes))
    assert result["areas"]["small"] == {
        "total": 5,
        "passed": 1,
        "pending": 1,
        "not_applicable": 1,
        "failed": [{"name": "case1", "difference": "x"}],
        "differs": {"q": ["case2"]},
    }


def test_any_folder_is_run_and_reported(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "HEADER.json").write_text('{"format": "x"}')
    (tmp_path / "small.json").write_text(json.dumps([FORMATS, {**FORMATS, "transport": "twilio"}]))
    (tmp_path / "deeper" / "odd.json").write_text('[5, {"name": "bare"}]')
    (tmp_path / "broken.json").write_text("[{")
    out = tmp_path / "report.out"
    finished = _run_module(str(tmp_path), "--json", str(out))
    areas = json.loads(out.read_text())["areas"]
    assert finished.returncode == 1
    assert (areas["small"]["passed"], areas["small"]["pending"]) == (1, 1)
    assert [entry["name"] for entry in areas["odd"]["failed"]] == ["odd.json[0]", "bare"]
    assert areas["broken"]["total"] == 1
    assert "HEADER" not in areas


def test_a_run_without_failures_ends_with_zero_and_a_wrong_folder_with_two(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(json.dumps([FORMATS]))
    assert _run_module(str(tmp_path)).returncode == 0
    assert _run_module(str(tmp_path / "nowhere")).returncode == 2


def _run_module(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # it runs this module
        [sys.executable, "-m", "tests.conformance", *args],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


# The recordings


def test_the_recordings_are_complete_and_their_names_unique() -> None:
    counts = json.loads((VECTORS / "HEADER.json").read_text())["counts"]
    cases = list(load_folder(VECTORS / "public"))
    assert {area: sum(case.area == area for case in cases) for area in counts} == counts
    assert len({case.name for case in cases}) == len(cases) == 635
    assert not [case.name for case in cases if case.broken]


def test_every_tag_is_a_known_quirk() -> None:
    quirks = load_quirks()
    tags = {quirk for case in load_folder(VECTORS / "public") for quirk in case.quirks}
    assert tags <= quirks.keys()
