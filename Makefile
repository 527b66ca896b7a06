# Everything runs in a virtual environment of its own, .venv, made on first use and again when pyproject.toml changes.

PYTHON ?= python3
PY     := .venv/bin/python
ARGS   ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-browser lint types check bench docs clean distclean

help:                   ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  ARGS="..." is handed on to demo, test, test-all, test-browser, bench and docs; PYTHON=... chooses the Python for .venv'

demo: .venv/demo.stamp  ## train the 3-layer model, compare its gradients with those by hand, draw it
	$(PY) examples/three_layer.py $(ARGS)

test: .venv/dev.stamp   ## run the tests, but for the slow ones
	$(PY) -m pytest $(ARGS)

test-all: .venv/dev.stamp ## run every test, the exhaustive suites too
	$(PY) -m pytest -m "not browser" --timeout 1200 $(ARGS)

test-browser: .venv/dev.stamp ## run the tests of the explorer in a browser; they need chromium
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || { \
	    echo 'make: chromium not found. On Debian and Ubuntu: apt install chromium; or name one: CHROMIUM=/path' >&2; exit 1; }
	$(PY) -m pytest -m browser tests/browser $(ARGS)

lint: .venv/dev.stamp   ## ruff
	$(PY) -m ruff check .

types: .venv/dev.stamp  ## mypy, strict
	$(PY) -m mypy

check: lint types test  ## lint, types and test: what a change must pass

bench: .venv/dev.stamp  ## time the workloads beside every peer that is installed (docs/speed.md)
	$(PY) -m benchmarks $(ARGS)

docs: .venv/docs.stamp  ## build the pages, every code cell executed, into docs/_build/html
	$(PY) -m sphinx -W -n --keep-going -q docs docs/_build/html $(ARGS)
	@echo 'Open docs/_build/html/index.html'

clean:                  ## remove caches, build outputs and the demo's pictures
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/results docs/_build
	rm -f three_layer.svg three_layer.png three_layer.dot three_layer_loss.* loss_curve.*
	rm -f $(addprefix examples/, three_layer.svg three_layer.png three_layer.dot three_layer_loss.* loss_curve.*)
	find autodiff nn viz tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean        ## the same, and .venv
	rm -rf .venv

# The environment. --group needs pip 25.1, newer than what many Pythons bring.

.venv/pip.stamp:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo 'make: "$(PYTHON)" not found. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: Python 3.11 or newer is needed, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." >&2; \
	    echo 'Name a newer one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv || { \
	    echo 'make: no virtual environment could be made (see above).' >&2; \
	    echo 'On Debian and Ubuntu install the package python3-venv (apt install python3-venv), then try again.' >&2; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

.venv/demo.stamp: pyproject.toml | .venv/pip.stamp
	$(PY) -m pip install --quiet --editable . --group demo
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/pip.stamp
	$(PY) -m pip install --quiet --editable . --group dev
	@touch .venv/demo.stamp $@

.venv/docs.stamp: pyproject.toml | .venv/pip.stamp
	$(PY) -m pip install --quiet --editable . --group docs
	@touch $@
