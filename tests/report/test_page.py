"""The page without a browser: what is in it, and that nothing in it can act."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.report.causes import cause_of, causes
from realtime_core.report.charts import BOTTOM, LEFT, RIGHT, TOP, distribution_chart, intervals
from realtime_core.report.comparison import compare
from realtime_core.report.data import inert_json
from realtime_core.report.figures import shown, shown_change
from realtime_core.report.metrics import METRICS
from realtime_core.report.runs import Run, read_run
from realtime_core.report.write import write_report
from tests.report.samples import FAILURES, make_row, write_run

HOSTILE = '</script><script>window.hacked=1</script><!--<script><img src=x onerror="hacked=1">'


class Page(HTMLParser):
    """The elements of a page, as a browser sees them."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._inside = attributes.get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def stored(self, name: str) -> Any:
        return json.loads(self.texts[name])


def report_of(folder: Path, *rows: Any, **settings: Any) -> Page:
    write_run(folder, list(rows), **settings)
    write_report([read_run(folder)], folder / "report.html")
    return Page(folder / "report.html")


def hostile_row(folder: Path) -> Any:
    row = make_row(folder, 1, failing=0.0, with_audio=False)
    turn = row.turns[0].model_copy(
        update={
            "question": HOSTILE,
            "question_transcript": HOSTILE,
            "answer_transcript": HOSTILE,
            "tool_calls": (row.turns[0].tool_calls[0].model_copy(update={"arguments": HOSTILE}),),
        }
    )
    failure = FAILURES[1].model_copy(update={"message": HOSTILE, "kind": HOSTILE})
    return row.model_copy(
        update={"id": HOSTILE, "turns": (turn,), "status": "failed", "error": failure}
    )


def test_what_others_say_makes_no_element(tmp_path: Path):
    plain = report_of(tmp_path / "plain", make_row(tmp_path, 1, failing=0.0, with_audio=False))
    page = report_of(tmp_path / HOSTILE.replace("/", ""), hostile_row(tmp_path), model=HOSTILE)
    assert len(page.all("script")) == len(plain.all("script"))
    assert not page.all("img")
    assert page.stored("c-a-0")["turns"][0]["answer_transcript"] == HOSTILE
    assert page.stored("data")["rows"][0]["id"] == HOSTILE


def test_a_comparison_is_as_inert(tmp_path: Path):
    for name in "ab":
        write_run(tmp_path / name, [hostile_row(tmp_path)], instructions=HOSTILE)
    write_report([read_run(tmp_path / name) for name in "ab"], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert not page.all("img")
    assert len([each for each in page.all("script") if "id" not in each]) == 1


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_data_stays_what_it_is_and_can_end_no_element(value: Any):
    text = inert_json(value)
    assert not set(text) & set("<>&")
    assert text.isascii()
    assert json.loads(text) == value


def test_halves_of_characters_break_nothing(tmp_path: Path):
    row = make_row(tmp_path, 1, failing=0.0, with_audio=False)
    run = Run("half \ud800", tmp_path, (row,), {"model": "half \ud800"})
    write_report([run], tmp_path / "report.html")
    assert "half ?" in (tmp_path / "report.html").read_text()


def test_no_key_is_shown(tmp_path: Path):
    key = "sk-canary0123456789abcdef"
    row = make_row(tmp_path, 1, failing=0.0, with_audio=False)
    turn = row.turns[0].model_copy(update={"answer_transcript": f"my key is {key}"})
    report_of(tmp_path / "run", row.model_copy(update={"turns": (turn,)}), model=key)
    assert key not in (tmp_path / "run" / "report.html").read_text()


# The policy


def test_the_policy_takes_our_script_and_style_and_no_other(tmp_path: Path):
    page = report_of(tmp_path, make_row(tmp_path, 1, failing=0.0, with_audio=False))
    text = (tmp_path / "report.html").read_text()
    (policy,) = [
        each["content"] or ""
        for each in page.all("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert parts["default-src"] == "'none'"
    assert parts["script-src"] == f"'{digest(script)}'"
    assert parts["style-src"] == f"'{digest(style)}'"
    assert "unsafe" not in policy
    assert "http" not in policy.replace("http-equiv", "")


def digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def test_nothing_is_asked_of_any_network_and_no_handler_is_inline(tmp_path: Path):
    page = report_of(tmp_path, make_row(tmp_path, 1, failing=0.0))
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("src", "href", "action", "srcset", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    html = (tmp_path / "report.html").read_text()
    assert "@import" not in html
    assert "url(" not in html


# What is told


def test_failures_are_grouped_by_their_cause():
    base = make_row(Path(), 1, failing=0.0, with_audio=False)
    messages = ["no answer within 30 s", "no answer within 31 s", "the model is overloaded"]
    rows = [
        base.model_copy(
            update={
                "id": f"call-{number}",
                "status": "failed",
                "error": FAILURES[1].model_copy(update={"message": message}),
            }
        )
        for number, message in enumerate(messages)
    ]
    rows.append(base.model_copy(update={"status": "failed", "error": FAILURES[0]}))
    first, second = causes([base, *rows])
    assert (first.key, first.count) == ("turn: TurnFailedError", 3)
    assert first.messages == (("no answer within … s", 2), ("the model is overloaded", 1))
    assert (second.key, second.ids) == ("http: 429 rate_limit_exceeded", (base.id,))
    assert cause_of(FAILURES[2]) == "input: QuestionError"


@pytest.mark.parametrize(
    ("value", "unit", "text", "change"),
    [
        (1234.5, "ms", "1 234 ms", "+1 234 ms"),
        (12_345, "ms", "12.3 s", "+12.3 s"),
        (4.26, "ms", "4.3 ms", "+4.3 ms"),
        (-4.26, "%", "-4.3 %", "\u22124.3 pp"),
        (0.001, "%", "0.0 %", "±0.0 pp"),
        (1_000_000, "", "1 000 000", "+1 000 000"),
    ],
)
def test_figures_have_the_digits_that_say_something(value, unit, text, change):
    assert shown(value, unit).replace("\u202f", " ") == text
    assert shown_change(value, unit).replace("\u202f", " ") == change
    assert shown(None, unit) == "\N{EN DASH}"


@given(st.lists(st.floats(0, 50_000).map(lambda each: round(each, 2)), min_size=1, max_size=80))
def test_charts_stay_within_their_frame(values: list[float]):
    chart = distribution_chart(METRICS[0], values, [each * 0.9 for each in values])
    assert chart is not None
    for bar in chart.bars:
        assert LEFT <= bar.x <= bar.x + bar.width <= RIGHT + 1
        assert TOP - 0.01 <= bar.y <= bar.y + bar.height <= BOTTOM + 0.01
    for label in (*chart.ticks, *chart.percentiles):
        assert LEFT <= label.x <= RIGHT
    assert chart.steps.startswith(f"M{LEFT} {BOTTOM}")


def test_an_interval_is_drawn_in_proportion():
    rows = [
        [make_row(Path(), n, with_audio=False, failing=0.0, slowness=slowness) for n in range(40)]
        for slowness in (1.0, 0.8)
    ]
    found = compare(*[Run(str(n), Path(), tuple(each)) for n, each in enumerate(rows)])
    widest, drawn = intervals(found.changes)
    at = [each.metric.key for each in found.changes].index("voice_to_voice_ms")
    interval, change = drawn[at], found.changes[at].headline
    assert interval is not None
    assert interval.middle == pytest.approx(
        110 * (1 + change.difference / change.before / widest), abs=0.01
    )
    assert interval.low <= interval.middle <= interval.high < 110


@pytest.mark.parametrize(("pairs", "is_drawn"), [(5, False), (8, True)])
def test_no_axis_is_drawn_where_no_interval_is(tmp_path: Path, pairs: int, is_drawn: bool):
    rows = [make_row(Path(), n, with_audio=False, failing=0.0) for n in range(pairs)]
    runs = [Run(name, Path(), tuple(rows)) for name in ("a", "b")]
    write_report(runs, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert any(each.get("class") == "axis-head" for each in page.all("th")) is is_drawn
    assert any("interval" in (each.get("class") or "") for each in page.all("td")) is is_drawn
    assert not [each for each in page.all("svg") if each.get("aria-label") == "no interval"]
    told = (tmp_path / "page.html").read_text()
    assert ("at least 8 conversations must be in both runs" in told) is not is_drawn
    assert "With fewer than 8 pairs there is none" in told


def test_a_change_beyond_the_axis_points_there():
    rows = [make_row(Path(), n, with_audio=False, failing=0.0) for n in range(10)]
    late = [row.model_copy(update={"media_lateness_ms": 500.0 + n}) for n, row in enumerate(rows)]
    runs = [Run(str(n), Path(), tuple(each)) for n, each in enumerate((rows, late))]
    for (before, after), direction in ((runs, "right"), (runs[::-1], "")):
        found = compare(before, after)
        at = [each.metric.key for each in found.changes].index("media_lateness_ms")
        interval = intervals(found.changes)[1][at]
        assert interval is not None
        assert interval.beyond == direction


@pytest.mark.parametrize("unit", ["ms", "%", "s", ""])
@given(low=st.floats(0, 1e5), span=st.floats(0, 1e5), between=st.lists(st.floats(0, 1), max_size=9))
def test_labels_of_ticks_never_touch(unit, low: float, span: float, between: list[float]):
    values = [round(low + share * span, 2) for share in (0, *between)]
    chart = distribution_chart(replace(METRICS[0], unit=unit), values)
    assert chart is not None
    width = max((len(label.text) for label in chart.ticks), default=0) * 6
    sides = {"start": (0, 1), "middle": (0.5, 0.5), "end": (1, 0)}
    places = [
        (label.x - sides[label.anchor][0] * width, label.x + sides[label.anchor][1] * width)
        for label in chart.ticks
    ]
    assert all(right < left for (_, right), (left, _) in pairwise(places))


# How the runs were made


def compared_page(folder: Path, before: dict[str, Any], after: dict[str, Any]) -> str:
    rows = [make_row(folder, n, with_audio=False, failing=0.0) for n in range(10)]
    busy = [row.model_copy(update={"started_at": rows[0].started_at}) for row in rows]
    write_run(folder / "a", rows, **before)
    write_run(folder / "b", busy, **after)
    write_report([read_run(folder / name) for name in "ab"], folder / "page.html")
    return (folder / "page.html").read_text()


def settings_of(html: str) -> dict[str, tuple[str, str, bool]]:
    found = {}
    table = html.partition('<table class="settings"')[2].partition("</table>")[0]
    for state, line in re.findall(r"<tr( class=.differs.)?>(<th scope=.row.*?)</tr>", table):
        title = re.sub(r"<.*", "", line.removeprefix('<th scope="row">'))
        first, second = re.findall(r"<td[^>]*>(.*?)</td>", line)
        found[title] = (first, second, bool(state))
    return found


def test_settings_are_compared_also_those_that_are_seldom_told(tmp_path: Path):
    before = {"model": "m", "voice": None, "session": {}, "deadline_s": 30.0}
    after = {**before, "session": {"speed": 1.5}, "voice": "marin"}
    lines = settings_of(compared_page(tmp_path, before, after))
    assert lines["Model"] == ("m", "m", False)
    assert lines["Voice"] == ("\N{EN DASH}", "marin", True)
    assert lines["Session"] == ("\N{EN DASH}", "{&#34;speed&#34;: 1.5}", True)
    assert "Deadline, s" not in lines


def test_how_it_went_is_told_beside_the_settings(tmp_path: Path):
    lines = settings_of(compared_page(tmp_path, {}, {}))
    before, after, differs = lines["Sessions at a time"]
    assert differs
    assert before.endswith("at most 4")
    assert after.endswith("at most 10")
    assert lines["Workers"] == ("2", "2", False)
    assert lines["Audio left late"][2] is False
    assert lines["When"][0].startswith("2026-03-01 09:00 UTC, for 0:41")


def test_what_is_not_comparable_is_said_first_and_in_the_table(tmp_path: Path):
    html = compared_page(tmp_path, {}, {})
    headline = html.partition('class="headline unsure">')[2].partition("</p>")[0]
    assert headline.startswith("≠ Not comparable: Voice to voice, first audio, connecting")
    assert "same --max-sessions" in html
    columns = {each["key"]: each for each in table_of(html)["columns"]}
    assert columns["voice_to_voice_ms"]["less_is_better"] is None
    assert columns["word_error_rate"]["less_is_better"] is True


def table_of(html: str) -> Any:
    return json.loads(html.partition('id="data">')[2].partition("</script>")[0])


@pytest.mark.parametrize(("late_ms", "is_told"), [(19.0, False), (21.0, True), (None, False)])
def test_a_run_whose_audio_was_late_says_that_latencies_are_too_long(
    tmp_path: Path, late_ms: float | None, is_told: bool
):
    rows = [make_row(tmp_path, n, with_audio=False, failing=0.0) for n in range(3)]
    page = report_of(
        tmp_path, *(row.model_copy(update={"media_lateness_ms": late_ms}) for row in rows)
    )
    notices = [each for each in page.all("p") if each.get("class") == "warning late"]
    assert bool(notices) is is_told


def test_a_page_of_one_conversation_says_what_was_run_too(tmp_path: Path):
    page = report_of(tmp_path, make_row(tmp_path, 1, failing=0.0, with_audio=False), model="m-1")
    html = (tmp_path / "report.html").read_text()
    assert ("div", {"id": "overview", "class": "inner", "hidden": None}) in page.elements
    assert "m-1" in html.partition('id="table"')[2].partition('id="conversation"')[0]


def test_our_script_and_style_can_stand_in_a_page():
    folder = Path(__file__).parents[2] / "realtime_core" / "report" / "assets"
    for path in [*folder.glob("*.js"), *folder.glob("*.css")]:
        text = path.read_text()
        assert not re.search(r"</(script|style)|<!--", text), path.name
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|eval\(|https?:(?!//www\.w3\.org/)", text
        )
        assert "\r" not in text
