"""Ray as far as the engine needs it, in this process: actors that die when a test says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class RayTaskError(RayError):
    pass


class FakeActor:
    """A handle; its process is an object, and another one after a death."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.process = make()
        self.deaths = 0
        self.calls: set[asyncio.Task[Any]] = set()
        self.options: dict[str, Any] = {}
        self.killed: list[bool] = []
        """With `no_restart` or without."""

    def __getattr__(self, name: str) -> FakeMethod:
        return FakeMethod(self, name)

    async def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        self.loop = asyncio.get_running_loop()
        call = self.loop.create_task(getattr(self.process, name)(*arguments))
        self.calls.add(call)
        call.add_done_callback(self.calls.discard)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if call.cancelled():
                raise RayActorError("the process is gone") from None
            raise
        except RayError:
            raise
        except Exception as exc:
            raise RayTaskError(f"in {name}: {exc}") from exc

    async def die(self) -> None:
        """Its process is killed, and there is a new one."""
        self.deaths += 1
        dead, self.process = self.process, self._make()
        for call in list(self.calls):
            call.cancel()
        await dead.close()


class FakeMethod:
    def __init__(self, actor: FakeActor, name: str, retries: int = 0) -> None:
        self._actor, self._name, self._retries = actor, name, retries

    def options(self, *, max_task_retries: int) -> FakeMethod:
        return FakeMethod(self._actor, self._name, max_task_retries)

    def remote(self, *arguments: Any) -> Awaitable[Any]:
        return self._actor.call(self._name, arguments)


class FakeRay:
    """What ``import ray`` gives."""

    def __init__(self) -> None:
        self.actors: list[FakeActor] = []
        self.inits: list[dict[str, Any]] = []
        self.shutdowns = 0
        self.is_up = False
        self.machines = ["127.0.0.1"]
        self.node_address = "127.0.0.1"
        self.util = self
        self.on_init: Callable[[], None] = lambda: None

    def get_node_ip_address(self) -> str:
        return self.node_address

    def is_initialized(self) -> bool:
        return self.is_up

    def init(self, **options: Any) -> None:
        self.inits.append(options)
        self.on_init()
        self.is_up = True

    def shutdown(self) -> None:
        self.shutdowns += 1
        self.is_up = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "NodeManagerAddress": each} for each in self.machines]

    def remote(self, kind: Callable[[], Any]) -> Any:
        ray = self

        class Remote:
            def options(self, **options: Any) -> Any:
                self.chosen = options
                return self

            def remote(self) -> FakeActor:
                actor = FakeActor(kind)
                actor.options = self.chosen
                ray.actors.append(actor)
                return actor

        return Remote()

    def kill(self, actor: FakeActor, *, no_restart: bool) -> None:
        actor.killed.append(no_restart)
        for call in list(actor.calls):
            actor.loop.call_soon_threadsafe(call.cancel)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """Let ``import ray`` give a fake one."""
    ray = FakeRay()
    module = ModuleType("ray")
    module.__spec__ = ModuleSpec("ray", None)
    module.__getattr__ = lambda name: getattr(ray, name)  # type: ignore[method-assign]
    worker = ModuleType("ray._private.worker")
    worker._worker_logs_enabled = True  # type: ignore[attr-defined]
    exceptions = ModuleType("ray.exceptions")
    for error in (RayError, RayActorError, RayTaskError):
        setattr(exceptions, error.__name__, error)
    private = ModuleType("ray._private")
    for each in (module, private, worker, exceptions):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    return ray
