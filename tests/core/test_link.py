"""What a bad network does to packets, without sockets."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.errors import UserError
from realtime_core.testing.link import Link, LinkConditions, is_media

MEDIA = b"\x80" + bytes(99)
STUN = b"\x00" + bytes(99)


def fates(link: Link, count: int, packet: bytes = MEDIA, spacing_s: float = 0.02) -> list[Any]:
    return [link.admit(packet, index * spacing_s) for index in range(count)]


def test_a_good_link_sends_everything_on_at_once() -> None:
    link = Link(LinkConditions(), seed=1)
    assert fates(link, 3) == [[0.0], [0.02], [0.04]]
    assert (link.stats.received, link.stats.lost, link.stats.received_bytes) == (3, 0, 300)


def test_the_same_seed_gives_the_same_fates_and_another_one_others() -> None:
    conditions = LinkConditions(loss=0.3, jitter_s=0.05, reorder=0.1, duplicate=0.1)
    first, again, other = (fates(Link(conditions, seed), 500) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_media_packet_meets_the_same_fate_however_many_others_come_between() -> None:
    conditions = LinkConditions(loss=0.5)
    alone = fates(Link(conditions, seed=7), 200)
    mixed_link = Link(conditions, seed=7)
    mixed = []
    for index in range(200):
        for _ in range(index % 3):
            mixed_link.admit(STUN, index * 0.02)
        mixed.append(mixed_link.admit(MEDIA, index * 0.02))
    assert mixed == alone


def test_one_condition_moves_no_other_ones_fates() -> None:
    lost = [not fate for fate in fates(Link(LinkConditions(loss=0.2), seed=3), 300)]
    both = LinkConditions(loss=0.2, jitter_s=0.1, duplicate=0.5)
    assert [not fate for fate in fates(Link(both, seed=3), 300)] == lost


def test_the_share_of_lost_packets_is_the_one_that_was_asked_for() -> None:
    link = Link(LinkConditions(loss=0.1), seed=1)
    fates(link, 10_000)
    assert link.stats.lost == pytest.approx(1_000, abs=120)  # four standard deviations


def test_loss_spares_what_is_no_media_unless_told_otherwise() -> None:
    spared, hit = Link(LinkConditions(loss=1), 1), Link(LinkConditions(loss=1, media_only=False), 1)
    assert fates(spared, 2, STUN) == [[0.0], [0.02]]
    assert fates(hit, 2, STUN) == [[], []]
    assert fates(spared, 2) == [[], []]


def test_jitter_delays_up_to_its_bound_and_keeps_the_order() -> None:
    due = [fate[0] for fate in fates(Link(LinkConditions(jitter_s=0.1, delay_s=0.2), 1), 500)]
    extra = [at - index * 0.02 - 0.2 for index, at in enumerate(due)]
    assert due == sorted(due)
    assert min(extra) >= -1e-9
    assert 0.08 < max(extra) <= 0.1 + 1e-9


def test_a_reordered_packet_is_overtaken_by_the_next_one() -> None:
    link = Link(LinkConditions(reorder=1), seed=1)
    first = link.admit(MEDIA, 0.0)
    link.conditions = LinkConditions()
    second = link.admit(MEDIA, 0.02)
    assert first[0] > second[0] == 0.02
    assert link.stats.reordered == 1


def test_a_duplicate_comes_twice() -> None:
    link = Link(LinkConditions(duplicate=1), seed=1)
    assert fates(link, 1) == [[0.0, 0.0]]
    assert link.stats.duplicated == 1


def test_a_narrow_link_queues_and_then_loses() -> None:
    # 100 bytes at 8 kbit/s take 0.1 s each; the third would wait 0.2 s.
    link = Link(LinkConditions(rate_bps=8_000, queue_s=0.15), seed=1)
    assert fates(link, 3, spacing_s=0) == [[0.1], [pytest.approx(0.2)], []]
    assert link.stats.overflowed == 1
    assert link.admit(MEDIA, 1.0) == [pytest.approx(1.1)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.1},
        {"reorder": -0.1},
        {"duplicate": float("nan")},
        {"delay_s": -1},
        {"jitter_s": float("inf")},
        {"rate_bps": 0},
    ],
)
def test_what_no_network_does_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        LinkConditions(**wrong)


def test_media_is_told_from_ice_and_dtls() -> None:
    assert is_media(MEDIA)
    assert not is_media(STUN)
    assert not is_media(b"\x16")  # DTLS
    assert not is_media(b"")
