"""The plugin of this package: the engines that come with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from realtime_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from realtime_core.batch.engine import BatchEngine

__all__ = ["realtime_batch_engines"]


@hookimpl
def realtime_batch_engines() -> Mapping[str, Callable[[], BatchEngine]]:
    """Processes of this machine, and Ray."""
    return {"local": _local, "ray": _ray}


def _local() -> BatchEngine:
    from realtime_core.batch.local import LocalEngine

    return LocalEngine()


def _ray() -> BatchEngine:
    from realtime_core.batch.ray import RayEngine

    return RayEngine()
