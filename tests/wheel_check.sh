#!/usr/bin/env bash
# Builds the wheels of this project and of the example plugin, installs both where no source is
# near, holds a conversation and runs the plugin's own tests there.
#
# BIN: where the development environment's programs are. PYTHON: what makes the new environment.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$BIN/python" -m build --quiet --wheel --outdir "$work/dist" "$root"
"$BIN/python" -m build --quiet --wheel --outdir "$work/dist" "$root/tests/example_plugin"
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "$work"/dist/*.whl pytest pytest-asyncio "openai[realtime]"
cp "$root/examples/question.wav" "$work/"
cp -r "$root/tests/example_plugin/tests" "$work/plugin_tests"
cp -r "$root/examples/agent_tests" "$work/agent_tests"

cd "$work"
venv/bin/realtime plugins
venv/bin/realtime run question.wav --out answer.wav --json
venv/bin/python -m pytest -q plugin_tests
# A stranger's agent, tested on the fixture that the wheel brings.
(cd agent_tests && ../venv/bin/python -m pytest -q -W error -p no:asyncio)
