# Everything here needs Python 3.11+, make and nothing else that it does not fetch or name itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PATHS := vk_provider fakes tests
PYTEST = $(BIN)/python -m pytest --dist loadfile
FIRST := tests/local tests/corpus tests/kubelet  # what takes longest begins first, so that none is left alone at the end
LONG := tests/chaos/test_chaos.py tests/chaos/test_planted.py tests/local/test_live_edits.py tests/local/test_crash.py tests/local/test_demo.py tests/kubelet/test_load.py tests/fuzz

.PHONY: help demo up test test-other long e2e chaos soak fuzz bench audit check format clean

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */  make \1\t/'

demo: $(VENV)/ready  ## the founding Job on a virtual node, live, in about a minute
	@$(BIN)/python -m fakes demo

up: $(VENV)/ready  ## a local cluster with a virtual node, until Ctrl-C
	@$(BIN)/python -m fakes up

# A file's tests stay together, for they share what they started; tests/e2e wants a real control plane: make e2e.
test: check  ## every check and every test but those of make long and make e2e, in less than five minutes
	@command -v "$${KUBECTL:-kubectl}" >/dev/null || $(BIN)/python -c 'from tests.programs import NO_KUBECTL; print(NO_KUBECTL, "(its tests are skipped)")'
	$(PYTEST) -rs -n 4 --no-loadscope-reorder --ignore=tests/e2e $(LONG:%=--ignore=%) $(FIRST) tests

# One Python beside the default one: make test-other PYTHON=python3.13 VENV=.venv313
test-other: $(VENV)/dev-ready  ## the tests but the local cluster and what takes long, for another PYTHON in another VENV
	$(PYTEST) -rs -n 3 --no-loadscope-reorder --ignore=tests/e2e --ignore=tests/local $(LONG:%=--ignore=%) tests/corpus tests/kubelet tests

long: $(VENV)/dev-ready  ## the tests that take long: crashes, load, a little of make chaos and make fuzz, the demo
	$(PYTEST) -n 3 --no-loadscope-reorder $(LONG)

# The control plane: KUBEBUILDER_ASSETS names a folder with its programs, or VK_E2E_KUBECONFIG a cluster; else KUBE says
# which Kubernetes is built: 1.37 (from Go modules), 1.20 (Debian's source package), or all. E2E="tests/e2e/test_node.py"
# plays a part of it.
KUBE ?= 1.37
E2E ?= tests/e2e
ifeq ($(KUBE),all)
e2e:
	$(MAKE) e2e KUBE=1.37
	$(MAKE) e2e KUBE=1.20
else
e2e: export KUBE := $(KUBE)
e2e: $(VENV)/dev-ready  ## the tests on a real Kubernetes control plane (KUBE=1.37, 1.20 or all), built the first time
	$(BIN)/python -m tests.e2e.build
	$(BIN)/python -m tests.e2e.controlplane $(BIN)/python -m pytest tests/contract/kube
	$(BIN)/python -m pytest $(E2E) -vv --durations=10
endif

# CHAOS="--seeds 20" plays many short ones and ends with a table; CHAOS="--plant orphan" gives the provider a bug to find.
# With CHAOS="--virtual --seeds 200" so many stories on virtual time instead: a second each, the same each time.
chaos: $(VENV)/dev-ready  ## everything that can go wrong, by a new seed, and an audit; CHAOS="--seed 7 --real" repeats or moves it
	$(BIN)/python -m tests.chaos $(CHAOS)

# SOAK="--plant descriptors --minutes 15" gives the provider a leak to find; --judge FILE judges the samples of a run again.
soak: $(VENV)/dev-ready  ## an even life for an hour, and whether memory, descriptors, threads and tasks stay what they were
	$(BIN)/python -m tests.soak $(SOAK)

fuzz: $(VENV)/dev-ready  ## a million harmed inputs for each parser that faces the network (about an hour)
	$(BIN)/python -m tests.fuzz.run $(FUZZ)

# What `make test` compares is counts only; this measures time too, and wants a machine that does nothing else.
bench: $(VENV)/dev-ready  ## figures of bursts, idleness, starts and streams beside the control plane's own ceiling
	$(BIN)/python -m tests.bench $(BENCH)

# Asks PyPI's list of known faults, so it needs the internet; no part of the tests does.
audit: $(VENV)/dev-ready  ## known faults of the packages that the provider is installed with
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install -q --disable-pip-version-check pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r deploy/constraints.txt

check: $(VENV)/dev-ready  ## lint, format, types, import contract
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev-ready  ## put the code into the house's format
	$(BIN)/ruff check --fix $(PATHS)
	$(BIN)/ruff format $(PATHS)

clean:  ## remove what make has made
	rm -rf $(VENV) .venv31? build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache

# The environment is made once per change of pyproject.toml; the stamp is written only when all went well.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name one with: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory install-venv
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

.PHONY: install-venv
install-venv:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing python3-venv"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	else \
		echo "python3 has no venv module here; install it first: sudo apt-get install python3-venv"; exit 1; \
	fi

$(VENV)/ready: pyproject.toml deploy/constraints.txt | $(VENV)/bin/python
	@echo "installing what the provider and the fakes need"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c deploy/constraints.txt -e .
	@touch $@

$(VENV)/dev-ready: pyproject.toml deploy/constraints.txt | $(VENV)/bin/python
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c deploy/constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/ready
