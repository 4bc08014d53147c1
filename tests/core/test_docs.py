"""The pages say what the code has: nothing is left out, and examples are code that runs."""

from __future__ import annotations

import dataclasses
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

import realtime_audio_plugins
import realtime_core
import realtime_transports
from realtime_core import events
from realtime_core.cli.app import app
from realtime_core.cli.exit_codes import ExitCode
from realtime_core.errors import ConnectStage, RealtimeError
from realtime_core.hookspecs import ENTRY_POINT_GROUP, RealtimeHooks
from realtime_core.plugins import ALLOW_VARIABLE, KINDS
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.openai.session_config import _ALL_KEYS, _AUDIO_KEYS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PLUGIN = ROOT / "tests" / "example_plugin"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def rows(name: str) -> dict[str, str]:
    """The lines of a page's tables, by what is marked as code in the first column."""
    found = {}
    for line in page(name).splitlines():
        if line.startswith("| `"):
            first, _, rest = line.removeprefix("| ").partition(" | ")
            for marked in re.findall(r"`([^`]+)`", first):
                found[marked] = rest
    return found


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", page(name), re.DOTALL)


def all_errors() -> set[type[Exception]]:
    for package in (realtime_core, realtime_transports, realtime_audio_plugins):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    return set(subclasses(RealtimeError))


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from subclasses(derived)


def public_errors() -> list[type[Exception]]:
    return sorted(
        (
            each
            for each in all_errors()
            if each.__module__.startswith("realtime_")
            and not each.__module__.startswith("realtime_core.testing")
            and each.__name__ in getattr(import_module(each.__module__), "__all__", ())
        ),
        key=lambda each: each.__name__,
    )


# Events


def test_every_event_is_in_the_reference_in_the_same_order():
    table = page("reference/events").partition("## Payloads")[0]
    listed = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert listed == list(events.TRANSPORT_EVENTS)


def test_every_event_is_told_with_its_payload():
    for name, payload in events.TRANSPORT_EVENTS.items():
        for marked in re.findall(r"`(\w+)`", payload):
            assert f"`{marked}`" in rows("reference/events")[name]


def test_every_payload_is_told_with_all_its_fields():
    table = rows("reference/events")
    for name in events.__all__:
        payload = getattr(events, name)
        if dataclasses.is_dataclass(payload):
            fields = {field.name for field in dataclasses.fields(payload)} - {"type"}
            assert fields <= set(re.findall(r"`(\w+)`", table[name])), name


# Errors


def test_every_error_is_in_the_reference_with_its_base():
    text = page("reference/errors")
    for error in public_errors():
        base = error.__bases__[0]
        if base in (Exception, RealtimeError):
            assert f"\n| `{error.__name__}` |" in text
        else:
            assert re.search(
                rf"^\| `{error.__name__}`, an? `{base.__name__}` \|", text, re.MULTILINE
            )


def test_every_stage_is_in_the_reference_with_its_deadline():
    table = rows("reference/errors")
    for stage in ConnectStage:
        assert table[stage.value].endswith(f"| {ConnectTimeouts().of(stage):g} |")


# Hooks


def test_every_hook_is_in_the_reference_with_its_kind():
    table = rows("reference/hooks")
    hooks = {name for name in vars(RealtimeHooks) if name.startswith("realtime_")}
    assert hooks == set(KINDS.values())
    for kind, hook in KINDS.items():
        assert table[hook].startswith(f"{kind} | ")
    assert hooks <= set(table)


def test_how_plugins_are_found_is_in_the_reference():
    assert f'entry-points."{ENTRY_POINT_GROUP}"' in page("reference/hooks")
    assert f"`{ALLOW_VARIABLE}=" in page("reference/hooks")


# Commands


def test_every_command_is_a_chapter_and_no_other():
    chapters = re.findall(r"^## realtime (\w+)$", page("reference/commands"), re.MULTILINE)
    assert sorted(chapters) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_told(command: str):
    text = page("reference/commands")
    common = text.partition("\n## ")[0]
    chapter = text.partition(f"## realtime {command}\n")[2].partition("\n## ")[0]
    for parameter in COMMANDS[command].params:
        for name in parameter.opts:
            shown = name if name.startswith("-") else name.upper()
            if shown != "--help":
                assert f"`{shown}" in chapter + common or f" {shown}`" in chapter, shown
    for option in re.findall(r"`(--[\w-]+)`", chapter):
        known = [(*each.opts, *each.secondary_opts) for each in COMMANDS[command].params]
        assert any(option in names for names in known), option


def test_every_exit_code_is_told():
    for code in ExitCode:
        assert re.search(rf"^\| {code.value} \| ", page("reference/commands"), re.MULTILINE)


# The tutorial


def plugin_files() -> dict[str, str]:
    paths = [*PLUGIN.glob("*.toml"), *PLUGIN.glob("*/*.py")]
    return {str(path.relative_to(PLUGIN)): path.read_text() for path in paths}


@pytest.mark.parametrize("block", blocks("tutorial/plugins", "python"))
def test_the_tutorials_code_is_the_example_plugins(block: str):
    assert any(block in text for text in plugin_files().values())


def test_the_tutorials_metadata_are_the_example_plugins():
    for block in blocks("tutorial/plugins", "toml"):
        for chapter in re.split(r"\n\n(?=\[)", block):
            assert chapter in plugin_files()["pyproject.toml"]


# Session configuration


def test_every_key_of_a_session_config_is_told():
    keys = re.findall(r"`([a-z_.]+)`", page("reference/session-config").partition("## Merging")[0])
    parts = [f"audio.{part}.{key}" for part, own in _AUDIO_KEYS.items() for key in own]
    assert {*_ALL_KEYS, *parts} <= set(keys)
    assert {key for key in rows("reference/session-config") if "." not in key} <= _ALL_KEYS


@pytest.mark.parametrize("block", blocks("reference/session-config", "python"))
def test_the_examples_of_session_configs_hold(block: str):
    exec(block, {})  # noqa: S102 - our own page


# Links


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere(path: Path):
    for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?(#[\w-]+)?\)", path.read_text()):
        page_path = path.parent / target if target else path
        assert page_path.is_file(), target
        headings = re.findall(r"^#+ (.*)$", page_path.read_text(), re.MULTILINE)
        anchors = {slug(heading) for heading in headings}
        assert not anchor or anchor.removeprefix("#") in anchors, f"{target}{anchor}"


def slug(heading: str) -> str:
    """As GitHub makes anchors."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_example_plugin_uses_no_private_name_of_ours():
    private = re.compile(r"import _|(?<!self)\._[a-z]")
    for name, text in plugin_files().items():
        if name.startswith("realtime_example/"):
            assert not private.findall(text), name
