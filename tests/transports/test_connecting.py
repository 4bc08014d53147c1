"""Each stage has its deadline, and each error its stage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core.errors import AudioError, ConnectError, ConnectStage, UserError
from realtime_transports.connecting import ConnectTimeouts, Stages
from realtime_transports.webrtc.connecting import wait_until_connected

DEADLINE_S = 0.01


def short_stages() -> Stages:
    return Stages(ConnectTimeouts(**{f"{stage.value}_s": DEADLINE_S for stage in ConnectStage}))


@pytest.mark.parametrize("stage", ConnectStage)
async def test_a_stage_that_takes_too_long_ends_with_its_name(stage: ConnectStage) -> None:
    with pytest.raises(
        ConnectError, match=f"stage {stage.value} took longer than 0.01 s"
    ) as caught:
        async with short_stages().enter(stage):
            await asyncio.Event().wait()
    assert caught.value.stage is stage


async def test_at_stage_ice_the_message_names_udp_and_turn() -> None:
    with pytest.raises(ConnectError, match=r"UDP may be blocked.*TURN"):
        async with short_stages().enter(ConnectStage.ICE):
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (ValueError("bad line"), "ValueError: bad line"),
        (AssertionError(), "AssertionError"),
        (AudioError("no microphone"), "no microphone"),
        (TimeoutError("the device does not answer"), "TimeoutError: the device does not answer"),
    ],
)
async def test_errors_of_any_class_get_the_stage(raised: Exception, says: str) -> None:
    with pytest.raises(ConnectError) as caught:
        async with Stages(ConnectTimeouts()).enter(ConnectStage.SDP):
            raise raised
    assert caught.value.stage is ConnectStage.SDP
    assert says in str(caught.value)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    "raised", [ConnectError(ConnectStage.KEY, "no"), UserError("no"), asyncio.CancelledError()]
)
async def test_what_has_its_place_already_passes_as_it_is(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught:
        async with Stages(ConnectTimeouts()).enter(ConnectStage.SDP):
            raise raised
    assert caught.value is raised


async def test_stages_passed_are_kept_in_order_and_summed() -> None:
    stages = Stages(ConnectTimeouts())
    for stage in (ConnectStage.KEY, ConnectStage.SDP, ConnectStage.HTTP, ConnectStage.SDP):
        async with stages.enter(stage):
            await asyncio.sleep(0)
    with pytest.raises(ConnectError):
        async with stages.enter(ConnectStage.ICE):
            raise ValueError
    assert [phase.stage for phase in stages.phases] == [
        ConnectStage.KEY,
        ConnectStage.SDP,
        ConnectStage.HTTP,
    ]
    assert stages.current is ConnectStage.ICE


class Link:
    """Passes so many stages, and then fails or not."""

    def __init__(self, passes: int, *, fails: bool) -> None:
        self._passes, self._fails = passes, fails

    def is_ice_connected(self) -> bool:
        return self._passes > 0

    def is_dtls_connected(self) -> bool:
        return self._passes > 1

    @property
    def is_open(self) -> bool:
        return self._passes > 2

    def has_failed(self) -> bool:
        return self._fails

    async def wait_until(self, is_reached: Any) -> None:
        if not is_reached():
            await asyncio.Event().wait()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("passes", "stage"),
    [(0, ConnectStage.ICE), (1, ConnectStage.DTLS), (2, ConnectStage.CHANNEL)],
)
async def test_the_stage_that_is_not_passed_is_named(
    passes: int, stage: ConnectStage, fails: bool
) -> None:
    link: Any = Link(passes, fails=fails)
    with pytest.raises(ConnectError, match="failed" if fails else "took longer") as caught:
        await wait_until_connected(link, short_stages())
    assert caught.value.stage is stage


async def test_a_link_that_is_open_has_passed_every_stage() -> None:
    link: Any = Link(3, fails=False)
    await wait_until_connected(link, short_stages())
