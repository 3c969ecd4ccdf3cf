# Each target makes .venv itself when it is missing. Works with GNU make 3.81 (macOS) and later.
#
#   make demo                      from an empty machine to runs/demo/report.html
#   make test TORCH_INDEX=URL      the same with another build of torch (URL: an index from PyTorch's own site)
#   make demo PYTHON=python3.12    with another Python
#   make lab                       open the tutorials in a browser

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
TUTORIALS_STAMP := $(VENV)/.installed-tutorials
LAB_STAMP := $(VENV)/.installed-lab
DOCS_STAMP := $(VENV)/.installed-docs
EXTRAS := test,aer,ibm

# The first of these that is new enough; PYTHON=... on the command line overrides it.
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)

# One thread a process: pytest-xdist runs two, and results do not depend on what else the machine does.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1

# Another index than the last time means another build of torch: install again.
TORCH_INDEX :=
ifneq ($(TORCH_INDEX),)
ifneq ($(TORCH_INDEX),$(shell cat $(VENV)/.torch-index 2>/dev/null))
REINSTALL := reinstall
endif
endif

.PHONY: help demo test test-slow lint tutorials lab docs bench criticality clean reinstall

help:
	@echo "make demo         sample, learn and report: runs/demo/report.html"
	@echo "make test         the test suite"
	@echo "make test-slow    the tests that take longer than ten seconds each"
	@echo "make lint         ruff, ruff format and mypy"
	@echo "make tutorials    execute all notebooks, two at a time"
	@echo "make lab          open the notebooks in JupyterLab"
	@echo "make docs         the documentation, docs/_build/html/index.html, checked in chromium (without: CHECK=--no-browser)"
	@echo "make bench        speed and accuracy beside other packages"
	@echo "make criticality  the long run: Tc and nu to four digits"
	@echo "make clean        remove .venv and caches (runs/ stays)"

demo: $(STAMP)
	$(BIN)/qmlphys demo

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tutorials: $(STAMP) $(TUTORIALS_STAMP)
	$(BIN)/python -m tutorials

lab: $(STAMP) $(LAB_STAMP)
	$(BIN)/jupyter lab tutorials

docs: $(STAMP) $(DOCS_STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python docs/check.py $(CHECK)

bench: $(STAMP) $(BENCH_STAMP)
	$(BIN)/python -m benchmarks

criticality: $(STAMP)
	$(BIN)/qmlphys criticality

clean:
	rm -rf $(VENV) docs/_build docs/reference docs/commands docs/tutorials .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is made last, so that an interrupted installation is taken up again.
$(STAMP): pyproject.toml constraints.txt $(REINSTALL)
	@test -n "$(PYTHON)" || { echo "qmlphys needs Python 3.11 or newer, and found none: install it, or say where it is with 'make PYTHON=/path/to/python3'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "qmlphys needs Python 3.11 or newer, but $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt --no-deps --force-reinstall --index-url $(TORCH_INDEX) torch
endif
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[$(EXTRAS)]"
	@echo "$(TORCH_INDEX)" > $(VENV)/.torch-index
	@touch $@

# The packages that the benchmarks measure beside this one; nothing else needs them.
$(BENCH_STAMP): $(STAMP) benchmarks/requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt
	@touch $@

# What executes notebooks is small; JupyterLab, which shows them, and Sphinx come with their own targets.
$(TUTORIALS_STAMP) $(LAB_STAMP) $(DOCS_STAMP): $(VENV)/.installed-%: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[$*]"
	@touch $@
