"""What readers copy out of the pages: programs that are whole, commands and options that exist."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from realtime_core.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
COMMON = {"--help", "-v", "-vv", "--verbose", "--version"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True)
class Block:
    """A piece of a page between fences."""

    page: str
    number: int
    language: str
    text: str
    before: str
    """The prose since the block before."""
    earlier: tuple[str, ...]
    """The blocks of the same language before it."""


def blocks(path: Path) -> Iterator[Block]:
    end = 0
    earlier: dict[str, list[str]] = {}
    page = str(path.relative_to(ROOT))
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    for number, match in enumerate(found):
        language, text = match.groups()
        same = earlier.setdefault(language, [])
        before = path.read_text()[end : match.start()]
        yield Block(page, number, language, text, before, tuple(same))
        same.append(text)
        end = match.end()


BLOCKS = [block for path in PAGES for block in blocks(path)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language in {"sh", "console"}]


def named(block: Block) -> str:
    return f"{block.page}-{block.number}"


def parsed(text: str) -> ast.Module:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(textwrap.dedent(text), "page", "exec", flags)
    assert isinstance(tree, ast.Module)
    return tree


def given(tree: ast.Module) -> set[str]:
    """All names that a program binds, wherever."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(each.asname or each.name).partition(".")[0] for each in names}
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case _:
                pass
    return found


def used(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("block", PYTHON, ids=named)
def test_a_program_is_whole_or_says_what_it_continues(block: Block):
    tree = parsed(block.text)
    if block.page == "docs/tutorial/plugins.md":
        return  # another test finds each of them in the example plugin
    known = given(tree) | set(vars(builtins))
    for text in block.earlier:
        known |= given(parsed(text))
    missing = used(tree) - known - set(re.findall(r"`(\w+)`", block.before))
    assert not missing, "neither made here, nor in a block before, nor named in the text above"


@pytest.mark.parametrize("block", PYTHON, ids=named)
def test_what_a_program_imports_is_there(block: Block):
    for node in ast.walk(parsed(block.text)):
        if isinstance(node, ast.Import):
            for each in node.names:
                importlib.import_module(each.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in {"agent", "realtime_example"}:
                continue  # the page's own files
            module = importlib.import_module(node.module)
            for each in node.names:
                assert hasattr(module, each.name), f"{node.module}.{each.name}"


def calls(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The commands of ours in a block: the name and what follows it."""
    text = re.sub(r"<<'?(\w+)'?.*?^\1$", "", block.text, flags=re.DOTALL | re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        prompted = line.removeprefix("$ ")
        if block.language == "console" and prompted == line:
            continue  # what a command prints
        yield from calls_in(prompted)


def calls_in(line: str) -> Iterator[tuple[str, list[str]]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    for place, word in enumerate(words):
        if word == "realtime":
            after = words[place + 1 :]
            ends = [n for n, each in enumerate(after) if set(each) <= set("|&;<>()")]
            after = after[: min(ends, default=len(after))]
            if after:
                yield after[0], after[1:]


@pytest.mark.parametrize("block", SHELL, ids=named)
def test_commands_in_blocks_are_ones_that_would_be_taken(block: Block):
    for command, arguments in calls(block):
        assert command in COMMANDS, command
        COMMANDS[command].make_context(command, arguments, resilient_parsing=True).close()


def options_of(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def known_options(command: str) -> set[str]:
    return COMMON | {
        name
        for parameter in COMMANDS[command].params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("-")
    }


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_in_sentences_exist(path: Path):
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    every = COMMON | {name for command in COMMANDS for name in known_options(command)}
    for code in re.findall(r"`([^`\n]+)`", prose):
        if (match := re.match(r"realtime (\w+)(.*)", code)) is not None:
            command, rest = match.groups()
            if command == "COMMAND":
                continue
            assert command in COMMANDS, code
            for option in options_of(rest.split()):
                assert option in known_options(command), code
        elif code.startswith("--"):
            assert options_of(code.split()[:1])[0] in every, code


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_installed_exists(path: Path):
    text = path.read_text()
    # It is not in the package index yet, so nothing may be installed from there by its name.
    assert not re.search(r"pip install [^\n`]*realtime-transports", text)
    for extras in re.findall(r"pip install [^\n`]*\.\[([\w,-]+)\]", text):
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), extras


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_extras_that_are_named_exist(path: Path):
    for extra in re.findall(r"\bextra `([\w-]+)`", path.read_text()):
        assert extra in PROJECT["optional-dependencies"], extra


def test_every_package_is_in_the_layout():
    layout = next(block.text for block in BLOCKS if block.page == "docs/design.md")
    for name in ("realtime_core", "realtime_transports", "realtime_audio_plugins"):
        part = layout.partition(f"{name}/")[2]
        for folder in (ROOT / name).iterdir():
            if (folder / "__init__.py").exists():
                assert f"{folder.name}/" in part, folder


def test_every_file_in_the_layout_is_there():
    layout = next(block.text for block in BLOCKS if block.page == "docs/design.md")
    package = ""
    for line in layout.splitlines():
        if line.startswith("realtime_"):
            package = line.partition("/")[0]
        for name in re.findall(r"\b(\w+\.py|\w+/)", line[:26]):
            if not name.startswith("realtime_"):
                assert (ROOT / package / name).exists(), name


def test_the_readmes_lines_fit_a_window():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert not [line for line in lines if len(line) > 130]


def test_the_readme_leads_to_every_page():
    text = (ROOT / "README.md").read_text()
    for path in PAGES[1:]:
        assert f"]({path.relative_to(ROOT)})" in text, path
