"""What is public is written down, can be imported, and is documented."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("public_api.txt")
"""A line for each public name; edit it in the commit that adds or removes one."""


def listed() -> dict[str, list[str]]:
    """The written names by package, in the order in which they are written."""
    names: dict[str, list[str]] = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            package, _, name = line.rpartition(".")
            names.setdefault(package, []).append(name)
    return names


PACKAGES = listed()
NAMES = [(package, name) for package, names in PACKAGES.items() for name in names]


def public_parts(cls: type) -> list[tuple[str, object]]:
    """Methods and properties that a class of ours adds or overrides."""
    kinds = (property, classmethod, staticmethod)
    return [
        (name, part)
        for name, part in vars(cls).items()
        if not name.startswith(("_", "test_"))
        and (inspect.isfunction(part) or isinstance(part, kinds))
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_makes_public_is_what_is_written_down(package: str):
    assert sorted(importlib.import_module(package).__all__) == sorted(PACKAGES[package])


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_makes_public_is_listed_once_and_in_order(package: str):
    names = importlib.import_module(package).__all__
    assert len(set(names)) == len(names)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_can_be_imported_and_is_documented(package: str, name: str):
    public = getattr(importlib.import_module(package), name)
    if not (inspect.isclass(public) or inspect.isfunction(public)):
        return  # a constant or alias; its docstring is beside it, where nobody can ask for it
    assert inspect.getdoc(public), f"{name} has no docstring"
    if inspect.isclass(public):
        for part_name, part in public_parts(public):
            assert inspect.getdoc(part), f"{name}.{part_name} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_star_import_brings_what_is_written_down_and_nothing_else(package: str):
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)  # noqa: S102 - what a program would write
    assert names.keys() - {"__builtins__"} == set(PACKAGES[package])


def test_every_package_with_public_names_is_written_down():
    folder = Path(__file__).parents[2]
    found = {
        ".".join(path.relative_to(folder).parent.parts)
        for path in folder.glob("realtime_*/**/__init__.py")
    }
    public = {
        package for package in found if getattr(importlib.import_module(package), "__all__", ())
    }
    # The command line's only door is its script.
    assert public - {"realtime_core.cli"} == set(PACKAGES)


def test_an_unknown_name_is_an_attribute_error_that_says_so():
    with pytest.raises(AttributeError, match="module 'realtime_transports' has no attribute 'Fax'"):
        importlib.import_module("realtime_transports").Fax  # noqa: B018 - asking is the test
