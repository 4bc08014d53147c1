"""The processes of a Ray that a command has started, as Linux shows them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"
LOOPBACK = {
    "0100007F",
    "00000000000000000000000001000000",
    "0000000000000000FFFF00000100007F",  # IPv4 in IPv6's clothes
}


def descendants(pid: int) -> list[int]:
    """The processes below that one."""
    parents: dict[int, int] = {}
    for folder in PROC.iterdir():
        with suppress(OSError, ValueError):
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def is_alive(pid: int) -> bool:
    """Whether it runs, and is no zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def command_line(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def actors(pid: int) -> list[int]:
    """The processes of the engine's actors below that process."""
    return [each for each in descendants(pid) if "ray::SessionActor" in command_line(each)]


def environment_of(pid: int) -> bytes:
    with suppress(OSError):
        return (PROC / str(pid) / "environ").read_bytes()
    return b""


def open_listeners(pids: list[int]) -> list[str]:
    """Sockets of these processes that others than this machine reach."""
    found = []
    for pid in pids:
        inodes = set()
        with suppress(OSError):
            for link in (PROC / str(pid) / "fd").iterdir():
                with suppress(OSError):
                    inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
        for table in ("tcp", "tcp6"):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                address, state, inode = fields[1].partition(":")[0], fields[3], fields[9]
                if state == LISTENING and inode in inodes and address not in LOOPBACK:
                    found.append(f"{command_line(pid)}: {fields[1]}")
    return found
