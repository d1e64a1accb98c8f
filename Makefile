# The study's commands. Every one makes its own environment in .venv first, with nothing but
# Python's venv and pip; `make` alone lists them.

PYTHON ?= python3
FILE ?=
CORPORA ?=
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check --no-input
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install study test test-slow lab lint docs lock clean

help:
	@echo 'The CTL-MTNet study: speech emotion recognition inside a corpus and across corpora.'
	@echo
	@echo '  make study       run a study and write reports/index.html;'
	@echo '                   without FILE and CORPORA on small synthetic corpora, in a few minutes'
	@echo '  make test        run the tests'
	@echo '  make test-slow   run the tests that train for longer'
	@echo '  make lab         open the notebooks in JupyterLab'
	@echo '  make lint        check style, formatting, types and who imports whom'
	@echo '  make docs        build the documentation into build/docs'
	@echo '  make install     only make the environment, in .venv'
	@echo '  make lock        pin again what pyproject.toml asks for (newest: ARGS=--upgrade)'
	@echo '  make clean       remove .venv and tool caches; reports/ stay'
	@echo
	@echo 'Settings, all optional:'
	@echo '  FILE=STUDY.yaml  a study, such as those in studies/'
	@echo '  CORPORA=FOLDER   the folder that holds the corpora, as they are distributed'
	@echo '  ARGS="..."       passed on as it is; for study see ARGS=--help, for test see pytest'
	@echo '  PYTHON=python3   the Python, 3.11 to 3.13, that .venv is made with'
	@echo
	@echo 'Examples:'
	@echo '  make study'
	@echo '  make study FILE=studies/quick.yaml CORPORA=/data/ser'
	@echo '  make study CORPORA=/data/ser ARGS="--methods cpac/modern compare+linear --names emodb"'
	@echo '  make test ARGS="tests/features -x"'

# A study that was stopped continues when it is started again with the same settings.
study: $(READY)
	$(RUN) -m ctl_helpers study $(if $(FILE),"$(FILE)") \
	    $(if $(CORPORA),--corpora "$(CORPORA)") $(ARGS)

# A file of tests stays in one process, since what its tests share is made once.
test: $(READY)
	$(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
	    --no-loadscope-reorder $(ARGS)

test-slow: $(READY)
	$(RUN) -m pytest -m slow $(ARGS)

lab: $(READY)
	$(RUN) -m jupyterlab notebooks $(ARGS)

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

docs: $(READY)
	$(RUN) -m mkdocs build --quiet --strict

install: $(READY)

# pip byte-compiles one file after the other; compileall does it on all cores, without the
# tests of other packages. A file of theirs that doesn't compile is one nobody imports.
$(READY): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys' 2>/dev/null || { \
	    echo 'make: cannot run $(PYTHON); name a Python 3.11, 3.12 or 3.13: make PYTHON=...' >&2; \
	    exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or \
	    sys.exit("make: Python 3.11, 3.12 or 3.13 is needed and $(PYTHON) is %d.%d; name \
	another: make PYTHON=python3.12" % v)'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo 'make: $(PYTHON) comes without venv; on Debian and Ubuntu: apt install python3-venv' >&2; \
	    exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || { \
	    echo 'Making the environment in $(VENV), once: 0.5 GB to fetch, a minute or two ...'; \
	    "$(PYTHON)" -m venv $(VENV); }
	@echo 'Installing the pinned packages ...'
	@$(PIP) install --no-compile --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@echo 'Compiling them ...'
	@$(RUN) -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >/dev/null 2>&1 || true
	@touch $(READY)
	@echo 'The environment is ready.'

# uv pins for all platforms and Pythons at once; it is needed for nothing else.
lock:
	"$(PYTHON)" -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lock/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate \
	    --python-version 3.11 --fork-strategy fewest --extra test --extra docs \
	    --custom-compile-command 'make lock' --output-file requirements.lock $(ARGS) pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis \
	    .import_linter_cache
	find ctl_helpers tests -name __pycache__ -prune -exec rm -rf {} +
