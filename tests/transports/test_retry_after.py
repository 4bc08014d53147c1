from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr

from realtime_transports.http_client import HttpAnswer, refusal


def retry_after_s(value: str | None) -> float | None:
    headers = CIMultiDict({} if value is None else {"retry-after": value})
    answer = HttpAnswer(429, "Too Many Requests", headers)
    return refusal("the request", answer, SecretStr("key")).retry_after_s


@pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), (" 17 ", 17.0), ("1.5", 1.5)])
def test_a_delay_in_seconds_is_told(value: str, seconds: float):
    assert retry_after_s(value) == seconds


def test_a_delay_until_a_date_is_told_in_seconds():
    now = datetime.now(UTC)
    later = retry_after_s(format_datetime(now + timedelta(seconds=90), usegmt=True))
    assert later == pytest.approx(90, abs=2)
    assert retry_after_s(format_datetime(now - timedelta(days=1), usegmt=True)) == 0.0


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-1", "1e9", "nan", "٣", "9" * 40, "Wed, 99 Foo 2026 25:00:00 GMT"]
)
def test_what_is_no_delay_is_none(value: str | None):
    assert retry_after_s(value) is None
