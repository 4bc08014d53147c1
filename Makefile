# Everything a newcomer needs: `make demo` and `make test`, each from a fresh clone.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
STAMP := $(VENV)/.installed-dev
STAMP_ALL := $(VENV)/.installed-all
# Speech that the local server hears word for word.
DEMO := tests/data/mailbox_number.wav
# Many tests wait for audio in real time. A module's tests stay together: they share what is dear.
PARALLEL ?= -n auto --dist loadscope -p no:benchmark

.PHONY: demo test test-all bench bench-speech lint types wheel-check check clean

demo: $(INSTALLED)
	@mkdir -p demo-output
	$(BIN)/realtime run $(DEMO) --out demo-output/answer.wav --stereo demo-output/conversation.wav

test: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: $(STAMP_ALL)
	$(BIN)/python -m pytest $(PARALLEL) -m "not alone"
	$(BIN)/python -m pytest -p no:benchmark -m alone

# Figures that the documentation names, measured here and now.
bench: $(STAMP)
	$(BIN)/python -m pytest benchmarks -s --benchmark-only

# Ten minutes of spoken turns: words understood, delays, the event loop. Nothing else should run.
bench-speech: $(STAMP)
	$(BIN)/python -m benchmarks.spoken_turns --minutes 10

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

# The wheel and a stranger's plugin, in an environment of their own with no source tree near.
wheel-check: $(STAMP)
	BIN="$(abspath $(BIN))" PYTHON="$(PYTHON)" bash tests/wheel_check.sh

check: lint types test

clean:
	rm -rf $(VENV) demo-output dist build

# Installed anew when the project's metadata changes; its code is used in place.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version.split()[0] + "; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "installing into $(VENV), with models for speech (270 MB); this takes about a minute"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[local]" || { \
		echo "no speech on this machine (docs/how-to/local-server.md says where): it will hum"; \
		$(BIN)/python -m pip install --quiet --editable .; }
	@touch $(INSTALLED)

$(STAMP): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(STAMP)

$(STAMP_ALL): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable . --group dev --group slow
	@touch $(STAMP_ALL)
