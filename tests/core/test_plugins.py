"""Plugins are found by entry point, each loaded on its own, and a broken one is named."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from realtime_audio_plugins import FileSource, ToneSource
from realtime_core import plugins as plugins_module
from realtime_core.errors import PluginError, ValidationError
from realtime_core.hookspecs import ENTRY_POINT_GROUP, RealtimeHooks, hookimpl
from realtime_core.plugins import KINDS, PluginManager, PluginStatus, default_plugins

OURS = "realtime-transports"

COLOURS = """
from realtime_core.hookspecs import hookimpl

@hookimpl
def realtime_audio_sources():
    return {"red": lambda argument: ("red", argument)}
"""

MORE_RED = COLOURS.replace('("red", argument)', '"another red"')

BROKEN_IMPORT = """
import a_package_that_nobody_has
"""

EXITING = """
raise SystemExit("this plugin needs a licence")
"""

RAISING_HOOK = """
from realtime_core.hookspecs import hookimpl

@hookimpl
def realtime_audio_sources():
    raise ValueError("no such colour")

@hookimpl
def realtime_audio_sinks():
    return {"blue": lambda argument: "a blue sink"}

@hookimpl
def realtime_responders():
    raise KeyError("no responder either")
"""

MISSPELT_HOOK = """
from realtime_core.hookspecs import hookimpl

@hookimpl
def realtime_audio_source():
    return {}

@hookimpl
def realtime_audio_sinks():
    return {"blue": lambda argument: "a blue sink"}

@hookimpl(optionalhook=True)
def realtime_hook_of_a_later_version():
    return {}
"""

HOOK_WITH_ARGUMENTS = """
from realtime_core.hookspecs import hookimpl

@hookimpl
def realtime_audio_sources(colour):
    return {}
"""

RETURNS = """
from realtime_core.hookspecs import hookimpl

@hookimpl
def realtime_audio_sources():
    return {}
"""

FoundPlugin = Callable[..., importlib.metadata.EntryPoint]


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FoundPlugin]:
    """Entry points of modules that are written when asked for, in distributions that are not."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def make(
        name: str, code: str, distribution: str = "colours", attribute: str = ""
    ) -> importlib.metadata.EntryPoint:
        module = f"plugin_module_{len(modules)}"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(code)
        importlib.invalidate_caches()
        entry_point = importlib.metadata.EntryPoint(name, module + attribute, ENTRY_POINT_GROUP)
        origin = SimpleNamespace(name=distribution, version="1.2")
        return entry_point._for(origin)  # type: ignore[attr-defined]

    yield make
    for module in modules:
        sys.modules.pop(module, None)


def status_of(manager: PluginManager, name: str) -> PluginStatus:
    [status] = [status for status in manager.statuses() if status.name == name]
    return status


def plugin_of(name: str = "plugin", **hooks: Callable[..., Any]) -> ModuleType:
    """A plugin that is not installed."""
    module = ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


# What is there


def test_our_own_plugins_are_found_by_their_entry_points():
    manager = PluginManager()
    assert {"file", "mic", "tone"} <= set(manager.names("source"))
    assert {"file", "speaker"} <= set(manager.names("sink"))
    assert "stereo" in manager.names("tap")
    assert "webrtc" in manager.names("transport")
    assert "parrot" in manager.names("responder")
    assert "openai" in manager.names("local server")
    for name in ("audio", "transports"):
        status = status_of(manager, name)
        assert status.distribution == OURS
        assert status.version
        assert status.error is None
        assert status.is_allowed


def test_a_spec_makes_what_it_names_with_what_follows_the_name():
    manager = PluginManager()
    source = manager.source("file:C:/questions/one.wav")
    assert isinstance(source, FileSource)
    assert "C:/questions/one.wav" in repr(vars(source))
    assert isinstance(manager.source("tone"), ToneSource)


def test_sinks_taps_and_middlewares_are_made_by_spec_too():
    manager = PluginManager(entry_points=[])
    manager.register(
        plugin_of(
            realtime_audio_sinks=lambda: {"x": lambda argument: ("sink", argument)},
            realtime_audio_taps=lambda: {"x": lambda argument: ("tap", argument)},
            realtime_event_middlewares=lambda: {"x": lambda argument: ("middleware", argument)},
            realtime_responders=lambda: {"x": lambda argument: ("responder", argument)},
        ),
        "mine",
    )
    assert manager.sink("x:1") == ("sink", "1")
    assert manager.tap("x:2") == ("tap", "2")
    assert manager.middleware("x") == ("middleware", "")
    assert manager.responder("x:3") == ("responder", "3")


def test_a_factory_that_makes_nothing_is_named():
    manager = PluginManager(entry_points=[])
    manager.register(plugin_of(realtime_audio_sources=lambda: {"x": lambda _: None}), "mine")
    with pytest.raises(PluginError, match="plugin mine made no source of 'x' but None") as caught:
        manager.source("x")
    assert caught.value.plugin == "mine"


def test_every_hook_has_its_kind():
    hooks = [name for name in vars(RealtimeHooks) if name.startswith("realtime_")]
    assert sorted(hooks) == sorted(KINDS.values())


@pytest.mark.parametrize("hook", KINDS.values())
def test_a_specification_is_not_called(hook: str):
    with pytest.raises(AssertionError, match="is not called"):
        getattr(RealtimeHooks(), hook)()


def test_nothing_is_loaded_before_something_is_asked_for(found: FoundPlugin):
    entry_point = found("colours", COLOURS)
    manager = PluginManager(entry_points=[entry_point])
    assert entry_point.module not in sys.modules
    manager.names("source")
    assert entry_point.module in sys.modules


def test_a_strangers_plugin_is_told_with_its_distribution_and_what_it_brings(found: FoundPlugin):
    manager = PluginManager(entry_points=[found("colours", COLOURS, "all-colours")])
    assert manager.statuses() == [
        PluginStatus("colours", "all-colours", "1.2", {"source": ["red"]})
    ]
    assert manager.source("red:7") == ("red", "7")


def test_an_entry_point_may_name_an_object_in_a_module(found: FoundPlugin):
    code = COLOURS.replace("@hookimpl\ndef", "class Colours:\n  @hookimpl\n  def")
    code = code.replace("sources()", "sources(self)").replace("    return", "      return")
    entry_point = found("colours", f"{code}\nplugin = Colours()\n", attribute=":plugin")
    assert PluginManager(entry_points=[entry_point]).names("source") == ["red"]


# What is broken


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (BROKEN_IMPORT, "No module named 'a_package_that_nobody_has'"),
        (EXITING, "this plugin needs a licence"),
        ("def (", "SyntaxError"),
        (RAISING_HOOK, "ValueError: no such colour"),
        (HOOK_WITH_ARGUMENTS, "colour"),
        (RETURNS.replace("{}", "None"), "NoneType"),
        (RETURNS.replace("{}", "7"), "'int' object is not iterable"),
        (RETURNS.replace("{}", "{'red': 7}"), "not 7 by 'red'"),
        (RETURNS.replace("{}", "{7: print}"), "by 7"),
    ],
    ids=[
        "its import fails",
        "its import exits",
        "it is no Python",
        "its hook raises",
        "its hook wants arguments",
        "its hook returns None",
        "its hook returns a number",
        "its hook returns no factory",
        "its hook returns no name",
    ],
)
def test_a_broken_plugin_is_named_with_its_traceback_and_stops_no_other(
    found: FoundPlugin, code: str, reason: str
):
    manager = PluginManager(entry_points=[found("broken", code), found("colours", COLOURS)])
    assert manager.source("red") == ("red", "")
    assert [status.name for status in manager.statuses()] == ["broken", "colours"]
    error = status_of(manager, "broken").error
    assert error is not None
    assert "Traceback" in error
    assert reason in error
    assert status_of(manager, "colours").error is None


def test_an_entry_point_to_nothing_is_named(found: FoundPlugin):
    manager = PluginManager(entry_points=[found("colours", COLOURS, attribute=":nothing")])
    assert "nothing" in (status_of(manager, "colours").error or "")


def test_of_a_plugin_whose_hooks_raise_all_tracebacks_are_kept_and_what_works_is_there(
    found: FoundPlugin,
):
    manager = PluginManager(entry_points=[found("half", RAISING_HOOK)])
    assert manager.sink("blue") == "a blue sink"
    status = status_of(manager, "half")
    assert status.provides == {"sink": ["blue"]}
    assert status.error is not None
    assert "no such colour" in status.error
    assert "no responder either" in status.error


def test_a_hook_that_does_not_exist_is_named_unless_it_is_marked_optional(found: FoundPlugin):
    manager = PluginManager(entry_points=[found("misspelt", MISSPELT_HOOK)])
    assert status_of(manager, "misspelt").error == (
        "there is no hook realtime_audio_source; did you mean realtime_audio_sources?"
    )
    assert manager.names("sink") == ["blue"]


def test_a_broken_plugin_is_named_when_something_is_asked_for_that_it_may_have_brought(
    found: FoundPlugin,
):
    manager = PluginManager(entry_points=[found("broken", BROKEN_IMPORT)])
    why = "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"
    with pytest.raises(PluginError) as caught:
        manager.source("red")
    assert f"(broken: broken ({why}); `realtime plugins` says more)" in str(caught.value)


def test_a_factory_that_fails_is_reported_with_its_plugin(found: FoundPlugin):
    code = COLOURS.replace('("red", argument)', "1 / 0")
    manager = PluginManager(entry_points=[found("colours", code)])
    with pytest.raises(PluginError, match="plugin colours could not make the source 'red:x'") as e:
        manager.source("red:x")
    assert e.value.plugin == "colours"
    assert isinstance(e.value.__cause__, ZeroDivisionError)


def test_an_error_that_a_factory_raises_on_purpose_comes_as_it_is():
    with pytest.raises(ValidationError, match=r"tone: hz: .*, not 'high'"):
        PluginManager().source("tone:high")


# Names


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("source", "fil", "there is no source 'fil'; did you mean 'file'?"),
        ("sink", "speakers", "there is no sink 'speakers'; did you mean 'speaker'?"),
        ("transport", "web-rtc", "there is no transport 'web-rtc'; did you mean 'webrtc'?"),
    ],
)
def test_an_unknown_name_gets_did_you_mean(kind: str, name: str, hint: str):
    with pytest.raises(PluginError) as caught:
        PluginManager().factory(kind, name)
    assert hint in str(caught.value)
    assert f" there are: {', '.join(PluginManager().names(kind))}" in str(caught.value)


def test_a_name_like_no_other_gets_the_list(found: FoundPlugin):
    manager = PluginManager(entry_points=[found("colours", COLOURS)])
    with pytest.raises(PluginError, match=r"there is no source 'question.wav'; there are: red$"):
        manager.source("question.wav")
    with pytest.raises(PluginError, match=r"there is no sink ''; there are: none$"):
        manager.sink("")


def test_a_name_that_several_plugins_bring_is_refused_with_all_of_them(found: FoundPlugin):
    manager = PluginManager(
        entry_points=[found("colours", COLOURS), found("more", MORE_RED, "more-colours")]
    )
    with pytest.raises(PluginError, match="several plugins bring a source 'red': colours, more"):
        manager.source("red")
    assert manager.names("source") == ["red"]


def test_a_second_plugin_of_the_same_name_is_refused_and_the_first_stays(found: FoundPlugin):
    manager = PluginManager(
        entry_points=[found("colours", COLOURS), found("colours", MORE_RED, "more-colours")]
    )
    assert manager.source("red") == ("red", "")
    first, second = manager.statuses()
    assert first.error is None
    assert "colours has a plugin of this name too" in (second.error or "")


@pytest.mark.parametrize("allow", [None, [], ["audio"]])
def test_a_strangers_plugin_cannot_take_the_name_of_ours(
    found: FoundPlugin, allow: list[str] | None
):
    ours = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    manager = PluginManager(allow=allow, entry_points=[found("audio", COLOURS), *ours])
    assert "file" in manager.names("source")
    first, *_, last = manager.statuses()
    assert (first.distribution, first.error, first.is_allowed) == (OURS, None, True)
    assert last.distribution == "colours"
    assert last.error or not last.is_allowed


def test_two_entry_points_to_one_module_are_one_plugin_too_many(found: FoundPlugin):
    first = found("colours", COLOURS)
    second = importlib.metadata.EntryPoint("again", first.value, first.group)
    manager = PluginManager(entry_points=[first, second])
    assert manager.source("red") == ("red", "")
    assert "this plugin is there already" in (status_of(manager, "again").error or "")
    assert status_of(manager, "again").distribution == "unknown"


# The allow-list


def test_the_allow_list_leaves_others_unloaded(found: FoundPlugin):
    colours, other = found("colours", COLOURS), found("other", BROKEN_IMPORT)
    manager = PluginManager(allow=["colours"], entry_points=[colours, other])
    assert manager.names("source") == ["red"]
    status = status_of(manager, "other")
    assert status.is_allowed is False
    assert status.error is None


def test_an_empty_allow_list_keeps_only_our_own(found: FoundPlugin):
    ours = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    entry_point = found("colours", COLOURS)
    manager = PluginManager(allow=[], entry_points=[*ours, entry_point])
    assert "file" in manager.names("source")
    assert "red" not in manager.names("source")
    assert entry_point.module not in sys.modules
    with pytest.raises(PluginError, match="not allowed, so not loaded: colours"):
        manager.source("red")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ["blue", "red"]),
        ("", []),
        ("colours", ["red"]),
        (" colours , blue,", ["blue", "red"]),
    ],
)
def test_the_environment_limits_plugins_where_the_program_does_not(
    found: FoundPlugin, monkeypatch: pytest.MonkeyPatch, value: str | None, expected: list[str]
):
    if value is not None:
        monkeypatch.setenv("REALTIME_PLUGINS", value)
    blue = found("blue", COLOURS.replace("red", "blue"))
    manager = PluginManager(entry_points=[blue, found("colours", COLOURS)])
    assert manager.names("source") == expected


def test_the_programs_allow_list_goes_before_the_environments(
    found: FoundPlugin, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REALTIME_PLUGINS", "")
    manager = PluginManager(allow=["colours"], entry_points=[found("colours", COLOURS)])
    assert manager.names("source") == ["red"]


def test_the_default_manager_is_one_for_the_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugins_module, "_default", None)
    assert default_plugins() is default_plugins()
    assert "file" in default_plugins().names("source")


# Registering


def test_a_plugin_that_is_not_installed_can_be_registered_for_this_process():
    manager = PluginManager(entry_points=[])
    manager.register(plugin_of(realtime_audio_sources=lambda: {"x": str.upper}), "mine")
    assert manager.source("x:loud") == "LOUD"
    assert manager.statuses() == [
        PluginStatus("mine", "this process", "", {"source": ["x"]}),
    ]


def test_registering_a_name_that_is_there_is_refused_and_changes_nothing():
    manager = PluginManager()
    before = manager.statuses()
    with pytest.raises(PluginError, match=f"{OURS} has a plugin of this name too") as caught:
        manager.register(plugin_of(realtime_audio_sources=lambda: {"x": str}), "audio")
    assert caught.value.plugin == "audio"
    assert manager.statuses() == before
    assert "x" not in manager.names("source")


def test_registering_one_plugin_under_two_names_is_refused():
    manager, plugin = PluginManager(entry_points=[]), plugin_of()
    manager.register(plugin, "mine")
    with pytest.raises(PluginError, match="this plugin is there already"):
        manager.register(plugin, "mine again")
    assert [status.name for status in manager.statuses()] == ["mine"]


def test_a_plugin_whose_hooks_do_not_fit_is_refused_and_its_name_stays_free():
    manager = PluginManager(entry_points=[])
    with pytest.raises(PluginError, match="a hook does not fit"):
        manager.register(plugin_of(realtime_audio_sources=lambda colour: {}), "mine")
    manager.register(plugin_of(realtime_audio_sources=lambda: {"x": str}), "mine")
    assert manager.names("source") == ["x"]
