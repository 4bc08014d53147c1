"""Ray as the driver has it: one that runs already, a cluster's, or one started on this machine."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from realtime_core.batch.worker_process import KEY_VARIABLES
from realtime_core.errors import RealtimeError, UserError
from realtime_core.hosts import is_loopback_host
from realtime_core.masking import mask_secrets

__all__ = ["RayCluster", "first_line", "require_ray"]

log = logging.getLogger(__name__)

START_DEADLINE_S = 120.0
"""Ray takes 8 to 25 s to start, longer where much else runs."""

CONNECT_DEADLINE_S = 60.0
"""Left to itself, Ray tries for minutes."""

CALL_DEADLINE_S = 60.0
CLOSE_DEADLINE_S = 60.0
"""Ray may just be starting, which goes on to its end first."""

PROBE_DEADLINE_S = 10.0

OBJECT_STORE_BYTES = 512 * 1024 * 1024
"""Of shared memory, for recordings on their way; what does not fit, Ray puts on the disk. Its own
choice is a third of the memory."""

LOOPBACK = "127.0.0.1"

OWN_VARIABLES = {
    # By its documentation for other systems, but it decides on all: without it Ray takes the
    # network's address for 127.0.0.1 and listens to everybody (2.60, `ray_constants.py`).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # It reports to its makers otherwise.
    "RAY_USAGE_STATS_ENABLED": "0",
}


def require_ray() -> None:
    """Find out whether Ray is there, without loading it.

    Raises:
        UserError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "the engine 'ray' needs a package that is not installed: "
            "pip install 'realtime-transports[ray]'"
        )


class RayCluster:
    """The connection to Ray. Whatever may block is done in one thread, in order.

    The thread lives as long as the connection: on Linux the processes that Ray starts are killed
    when the thread that started them ends, which is how none outlives its driver. It keeps no
    program from ending, as the threads of an executor would while Ray tries in vain to connect.
    """

    ray: Any
    """The package, once open."""

    def __init__(self) -> None:
        """Nothing is loaded or opened yet."""
        self._thread = _Thread()
        self._is_stuck = False
        self._is_ours = False
        self._unmute: Callable[[], None] = lambda: None

    async def open(self, address: str | None, cpus: int | None) -> None:
        """Connect, or start Ray on this machine, on its loopback interface only.

        A Ray that this process is connected to already is used as it is, and left so.

        Args:
            address: ``host:port`` of a cluster's head node, or ``auto`` for the cluster that this
                machine is a node of; None starts one of our own.
            cpus: How many workers there may be on one of our own; None: as many as processors.

        Raises:
            UserError: There is no cluster at the address, or this process cannot use it.
            RealtimeError: Ray does not start.
        """
        if address is not None:
            await _probe(address)
        try:
            if address is None:
                await self.call(self._start_here, cpus, deadline_s=START_DEADLINE_S)
            else:
                await self.call(self._connect, address, deadline_s=CONNECT_DEADLINE_S)
        except RealtimeError as exc:
            if address and self._is_stuck:
                raise UserError(
                    f"no Ray cluster answers at {address} within {CONNECT_DEADLINE_S:g} s; "
                    "one that asks for a token needs RAY_AUTH_MODE=token"
                ) from exc
            raise
        except Exception as exc:  # Ray raises anything
            if address:
                raise UserError(f"no Ray cluster at {address}: {first_line(exc)}") from exc
            raise RealtimeError(f"Ray does not start: {first_line(exc)}") from exc

    async def close(self) -> None:
        """End what `open` began. Closing twice, or without having opened, is fine."""
        ending = self._thread.submit(self._close)
        self._thread.end()
        if self._is_stuck:
            return  # the thread closes it when it can
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await asyncio.wrap_future(ending)
        except TimeoutError:
            log.warning("Ray has not ended within %g s", CLOSE_DEADLINE_S)

    async def call(
        self, function: Callable[..., Any], *arguments: Any, deadline_s: float = CALL_DEADLINE_S
    ) -> Any:
        """What the function returns, which may block.

        Raises:
            RealtimeError: It took too long. It goes on, and what is called next waits for it.
        """
        call = asyncio.wrap_future(self._thread.submit(function, *arguments))
        done, _ = await asyncio.wait([call], timeout=deadline_s)
        if not done:
            self._is_stuck = True
            call.cancel()
            raise RealtimeError(f"Ray did not answer within {deadline_s:g} s")
        return call.result()

    def cpus(self) -> int:
        """How many processors the cluster has, all machines together."""
        return int(self.ray.cluster_resources().get("CPU", 1))

    def check_reaches(self, url: str | None) -> None:
        """Refuse an endpoint on this machine when there are workers on others.

        Raises:
            UserError: So it is.
        """
        host = urlsplit(url).hostname if url else None
        if host is None or not is_loopback_host(host):
            return
        machines = {node["NodeManagerAddress"] for node in self.ray.nodes() if node["Alive"]}
        if len(machines) > 1:
            raise UserError(
                f"the server is at {host}, which the workers on {len(machines)} machines do not "
                "reach; give an address that they all reach"
            )

    def _connect(self, address: str) -> None:
        self._load()
        if not self.ray.is_initialized():
            with _quiet_start():
                self.ray.init(address=address, log_to_driver=False, configure_logging=False)
            self._is_ours = True

    def _start_here(self, cpus: int | None) -> None:
        with _environment(OWN_VARIABLES, without=KEY_VARIABLES):
            self._load()
            if self.ray.is_initialized():
                return
            with _quiet_start():
                self.ray.init(
                    # Whatever the environment names: None would take that.
                    address="local",
                    num_cpus=cpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                    _node_ip_address=LOOPBACK,
                )
        self._is_ours = True
        if not is_loopback_host(self.ray.util.get_node_ip_address()):
            self._close()
            raise UserError(
                "the program has imported ray before, which would make it listen on the network; "
                "set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 before that, or call ray.init"
            )

    def _load(self) -> None:
        require_ray()
        self.ray = importlib.import_module("ray")
        self._unmute = _mute_stdout()

    def _close(self) -> None:
        if self._is_ours:
            self._is_ours = False
            self.ray.shutdown()  # which prints what it had left
        self._unmute()


class _Thread:
    """Calls functions, one after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_started = False

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call it when all before it are done."""
        if not self._is_started:
            self._is_started = True
            threading.Thread(target=self._run, name="ray", daemon=True).start()
        future: Future[Any] = Future()

        def call() -> None:
            # One that nobody waits for any more is made all the same: Ray is not left half open.
            is_wanted = future.set_running_or_notify_cancel()
            try:
                value = function(*arguments)
            except Exception as exc:  # Ray raises anything; it is told to whoever waits
                if is_wanted:
                    future.set_exception(exc)
                else:
                    log.debug("nobody waits for what Ray raised", exc_info=exc)
            else:
                if is_wanted:
                    future.set_result(value)

        self._calls.put(call)
        return future

    def end(self) -> None:
        """End when all is done."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def first_line(exc: BaseException) -> str:
    """What an error of Ray's says, which goes on for pages, in short and without secrets."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    masked: str = mask_secrets(f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__)
    return masked if len(masked) <= 300 else f"{masked[:300]}…"


async def _probe(address: str) -> None:
    """Find out whether anybody listens there, as Ray itself tries for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(
            f"{address!r} is no address of a Ray cluster: it is host:port of the head node, or "
            "auto on one of the cluster's machines"
        )
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError as exc:  # a timeout among them
        raise UserError(f"no Ray cluster at {address}: nothing listens there") from exc
    writer.close()


@contextmanager
def _environment(variables: dict[str, str], *, without: tuple[str, ...]) -> Iterator[None]:
    """What the processes that are started meanwhile inherit."""
    names = [*variables, *without]
    before = {name: os.environ[name] for name in names if name in os.environ}
    for name in without:
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Without Ray's warnings about what is meant to be so: the thread it runs in, its token."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mute_stdout() -> Callable[[], None]:
    """Keep Ray from printing on standard output, which is the command's, that a worker has died.

    It does so whatever `log_to_driver` is. Where a version has no such switch, it prints.
    """
    module = importlib.import_module("ray._private.worker")
    name = "_worker_logs_enabled"
    before = getattr(module, name, None)
    if not isinstance(before, bool):
        return lambda: None
    setattr(module, name, False)
    return lambda: setattr(module, name, before)
