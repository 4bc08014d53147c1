"""Reads cases: what is done, and what should come of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.trace import Trace

__all__ = ["VECTORS", "Case", "Scene", "load_folder", "load_quirks"]

VECTORS = Path(__file__).parent / "vectors"


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is done in a case; rules see this and nothing that names the case."""

    transport: str
    steps: list[dict[str, Any]]
    env: str = "node"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    observers: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    fakes: dict[str, Any] = dataclasses.field(default_factory=dict)
    auto_ack: bool | str = False
    auto_open: bool = True
    holds_http: bool = False
    has_error_listener: bool = True

    @classmethod
    def from_json(cls, case: dict[str, Any]) -> Scene:
        """Read a case, without its name and tags."""
        return cls(
            transport=case["transport"],
            steps=case["steps"],
            env=case.get("env", "node"),
            options=case.get("options", {}),
            observers=case.get("observers", []),
            fakes=case.get("fakes", {}),
            auto_ack=case.get("autoAck", False),
            auto_open=case.get("autoOpen", True),
            holds_http=case.get("holdHttp", False),
            has_error_listener=not case.get("noErrorListener", False),
        )


@dataclasses.dataclass(frozen=True)
class Case:
    """A case, as it stands in a file."""

    name: str
    area: str
    raw: Any
    broken: str | None = None
    """Why it cannot be read; None when it can."""

    @property
    def scene(self) -> Scene:
        """What is done."""
        return Scene.from_json(self.raw)

    def expected(self) -> Trace:
        """What should come of it; a new copy each time."""
        return Trace.from_json(self.raw["expect"])

    @property
    def quirks(self) -> list[str]:
        """The known oddities that the case is said to show. Tags are best effort."""
        if not isinstance(self.raw, dict):
            return []
        own = [self.raw["quirk"]] if "quirk" in self.raw else []
        return list(dict.fromkeys([*own, *self.raw.get("touches", [])]))


def load_quirks(path: Path = VECTORS / "QUIRKS.json") -> dict[str, dict[str, Any]]:
    """The known oddities of the reference, by id."""
    quirks = json.loads(path.read_text("utf-8"))
    assert isinstance(quirks, dict)
    return quirks


def load_folder(folder: Path) -> Iterator[Case]:
    """Every case in every file of a folder and of the folders in it.

    Files that hold no list are no cases (a header, a list of oddities). What should be a case and
    cannot be read comes as a broken one, so that it is counted.
    """
    for path in sorted(folder.rglob("*.json")):
        try:
            cases = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as exc:
            yield Case(path.name, path.stem, None, broken=f"{path} cannot be read: {exc}")
            continue
        if isinstance(cases, list):
            for index, case in enumerate(cases):
                yield _read(case, path, index)


def _read(case: Any, path: Path, index: int) -> Case:
    if not isinstance(case, dict):
        return Case(f"{path.name}[{index}]", path.stem, case, broken="this is no case")
    name = str(case.get("name", f"{path.name}[{index}]"))
    area = str(case.get("area", path.stem))
    missing = [key for key in ("transport", "steps", "expect") if key not in case]
    broken = f"the case has no {', '.join(missing)}" if missing else None
    return Case(name, area, case, broken)
