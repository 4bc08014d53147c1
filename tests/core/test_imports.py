"""Who may import whom, and what is loaded only when it is used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import realtime_audio_plugins
import realtime_core
import realtime_transports

PACKAGES = {
    package.__name__: Path(package.__path__[0])
    for package in (realtime_core, realtime_transports, realtime_audio_plugins)
}

WEBRTC_LIBRARIES = {"aioice", "aiortc", "av"}

HEAVY = {
    "aiohttp",
    "aioice",
    "aiortc",
    "av",
    "hibari",
    "jinja2",
    "livekit",
    "onnxruntime",
    "rich",
    "sounddevice",
    "soundfile",
    "soxr",
    "typer",
    "yaml",
}
"""Libraries that are imported when they are used."""

IMPURE = {
    "aiohttp",
    "asyncio",
    "concurrent",
    "datetime",
    "selectors",
    "socket",
    "subprocess",
    "threading",
    "time",
}
"""What brings I/O, waiting or a clock into a module that should only decide."""

DECIDING_IN_CORE = {"errors", "events", "history", "items", "middleware"}
DECIDING_IN_WEBRTC = {"playout", "sdp", "watchdog"}


class Module(NamedTuple):
    """A module of ours, and what its source imports anywhere in it."""

    name: str
    imports: frozenset[str]
    strings: frozenset[str]
    """Strings that name a module of ours, for `importlib.import_module`."""


class Imported(NamedTuple):
    """An interpreter after running some code."""

    modules: frozenset[str]

    @property
    def libraries(self) -> set[str]:
        return {module.partition(".")[0] for module in self.modules}


def read_module(name: str, path: Path) -> Module:
    imports, strings = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                imports |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), level=0, names=names):
                imports |= {module, *(f"{module}.{alias.name}" for alias in names)}
            case ast.ImportFrom():
                raise AssertionError(f"{path}: relative imports are not used here")
            case ast.Constant(value=str(text)) if re.fullmatch(r"realtime_\w+(\.\w+)+", text):
                strings.add(text)
    return Module(name, frozenset(imports), frozenset(strings))


def read_modules() -> Iterator[Module]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield read_module(".".join([package, *parts]).removesuffix(".__init__"), path)


MODULES = tuple(read_modules())


def modules_of(package: str) -> list[Module]:
    found = [each for each in MODULES if is_in(each.name, package)]
    assert found, f"there is no {package}"
    return found


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def imports_of(module: Module, packages: set[str]) -> set[str]:
    """What of these packages a module imports, in functions and for types too."""
    return {name for name in module.imports if any(is_in(name, each) for each in packages)}


def after_running(code: str) -> Imported:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Imported(frozenset(done.stdout.split()))


# Who imports whom


def test_the_reader_of_imports_sees_all_kinds(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a.b\nfrom c import d\ndef f():\n    import e\nX = 'realtime_core.turn'\n"
    )
    assert read_module("m", path) == Module(
        "m", frozenset({"a.b", "c", "c.d", "e"}), frozenset({"realtime_core.turn"})
    )


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("realtime_core", {"realtime_transports", "realtime_audio_plugins"}),
        ("realtime_transports", {"realtime_audio_plugins"}),
        ("realtime_audio_plugins", {"realtime_transports"}),
    ],
)
def test_core_imports_no_plugin_and_plugins_import_each_other_not(
    package: str, forbidden: set[str]
):
    for module in modules_of(package):
        assert not imports_of(module, forbidden), module.name
        named = {name for name in module.strings if any(is_in(name, each) for each in forbidden)}
        assert not named, module.name


def test_nothing_but_the_webrtc_transport_imports_the_webrtc_libraries():
    importing = {module.name for module in MODULES if imports_of(module, WEBRTC_LIBRARIES)}
    assert importing
    assert all(is_in(name, "realtime_transports.webrtc") for name in importing), importing


def test_the_contract_imports_no_network_codec_or_command_line_library():
    for module in modules_of("realtime_core"):
        if not any(is_in(module.name, f"realtime_core.{tool}") for tool in ("cli", "report")):
            assert not imports_of(module, HEAVY - {"soxr"}), module.name


def test_the_contract_does_not_know_its_command_line():
    for module in modules_of("realtime_core"):
        if not is_in(module.name, "realtime_core.cli"):
            assert not imports_of(module, {"realtime_core.cli"}), module.name


SHELL_OF_OPENAI = {"shell", "transport", "handle_failures"}
"""The asyncio shell around the protocol: it waits, and decides nothing."""


def test_modules_that_decide_import_nothing_that_waits_or_tells_the_time():
    deciding = [
        *(each for each in modules_of("realtime_transports.openai")),
        *(module for name in DECIDING_IN_CORE for module in modules_of(f"realtime_core.{name}")),
        *(
            module
            for name in DECIDING_IN_WEBRTC
            for module in modules_of(f"realtime_transports.webrtc.{name}")
        ),
    ]
    for module in deciding:
        if module.name.removeprefix("realtime_transports.openai.") not in SHELL_OF_OPENAI:
            assert not imports_of(module, IMPURE), module.name


def test_the_protocol_does_not_know_the_transports_that_use_it():
    others = {
        module.name
        for module in modules_of("realtime_transports")
        if module.name.count(".") == 1 and module.name != "realtime_transports.openai"
    }
    for module in modules_of("realtime_transports.openai"):
        assert not imports_of(module, others), module.name


# What is loaded when


@pytest.mark.parametrize(
    ("code", "unloaded"),
    [
        ("import realtime_core", HEAVY | {"pydantic"}),
        ("import realtime_core.turn", HEAVY),
        ("import realtime_transports", HEAVY | {"numpy", "pydantic"}),
        ("import realtime_transports.openai", HEAVY),
        ("import realtime_audio_plugins", HEAVY),
        ("from realtime_core.plugins import default_plugins; default_plugins().statuses()", HEAVY),
        ("import realtime_core.cli", HEAVY),
    ],
)
def test_heavy_libraries_are_loaded_when_used(code: str, unloaded: set[str]):
    loaded = after_running(code).libraries & unloaded
    assert not loaded


def test_importing_core_loads_no_more_than_a_few_times_its_foundations():
    # How long it takes is for benchmarks/import_cost.py: a number of modules depends on no machine.
    foundations = after_running("import numpy, pydantic\nclass M(pydantic.BaseModel): x: int")
    ours = after_running("import realtime_core")
    assert len(ours.modules) < 1.5 * len(foundations.modules)


def test_importing_core_starts_nothing():
    code = "import threading, realtime_core\nassert threading.active_count() == 1"
    assert "realtime_core" in after_running(code).modules


def test_every_module_can_be_imported_alone():
    # An interpreter for each would cost half a minute; one that forgets our modules does as well.
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1].split():\n"
        "    for loaded in [each for each in sys.modules if each.startswith('realtime_')]:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    names = " ".join(module.name for module in MODULES)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_each_package_tells_type_checkers_that_it_is_typed():
    for folder in PACKAGES.values():
        assert (folder / "py.typed").is_file()
