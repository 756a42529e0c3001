# Everything here needs Python 3.11+, make and nothing else that it does not fetch or name itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PATHS := vk_provider fakes tests
# pytest, and with VK_TEST_AGAIN=5 up to so many failures once more, alone, as .ci/run does (tests/again.py).
PYTEST = $(BIN)/python -m tests.again --dist loadfile
# What takes longest begins first, so that none is left alone at the end.
FIRST := tests/local tests/control tests/fakes/cloud tests/test_show.py tests/files tests/kubelet tests/corpus tests/chaos
SOURCES := $(shell find vk_provider fakes tests -name '*.py')
# Processes that tests start, and each of their workers, are not to compile every module again.
unexport PYTHONDONTWRITEBYTECODE
LONG := tests/chaos/test_chaos.py tests/chaos/test_planted.py tests/chaos/test_neighbours.py tests/local/test_live_edits.py \
	tests/local/test_spec_edits.py tests/local/test_neighbours.py tests/local/test_crowd.py tests/local/test_crowd_seen.py tests/local/test_page_story.py tests/local/test_crash.py \
	tests/local/test_demo.py tests/kubelet/test_load.py tests/idle/test_day.py tests/bench/test_fairness.py \
	tests/bench/test_weigh.py tests/dashboard/test_page.py tests/fakes/test_daychart_browser.py tests/qos_agent/test_kernel.py \
	tests/control/test_two_providers.py tests/control/test_limits_of_the_cloud.py tests/fuzz tests/test_wheel.py \
	tests/preemptible/test_chaos.py tests/monitoring/test_real_run.py
# These hold seconds against seconds or a goal: beside others they would measure those.
ALONE := tests/chaos/test_chaos.py tests/qos_agent/test_kernel.py tests/fuzz
# The day of make demo-preemptible, and that of 500 preemptible Jobs, twice: too long even for make long.
PREEMPTIBLE_LONG := tests/preemptible/test_demo.py tests/preemptible/test_soak.py

.PHONY: help demo demo-preemptible up test test-other long long-preemptible e2e long-e2e oracle conformance neighbours chaos soak fuzz mutate bench promtool audit check format clean

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */  make \1\t/'

# PLANE=real plays demo and up on the control plane of make e2e, built the first time, instead of the stand-in cluster.
ON_PLANE = $(if $(filter real,$(PLANE)),$(BIN)/python -m tests.e2e.prepared )
PLANE_READY = $(if $(filter real,$(PLANE)),$(VENV)/dev-ready)

demo: $(VENV)/ready $(PLANE_READY)  ## the founding Job on a virtual node, live, in about a minute
	@$(ON_PLANE)$(BIN)/python -m fakes demo

demo-preemptible: $(VENV)/dev-ready  ## a day of preemptible Jobs on idle quota, told and drawn, in about two minutes
	@$(BIN)/python -m tests.preemptible.demo

up: $(VENV)/ready $(PLANE_READY)  ## a local cluster with a virtual node, until Ctrl-C
	@$(ON_PLANE)$(BIN)/python -m fakes up

# A file's tests stay together, for they share what they started; tests/e2e wants a real control plane: make e2e.
test: $(VENV)/dev-ready  ## every check and every test but those of make long and make e2e, in less than four minutes
	@$(MAKE) --no-print-directory -j 2 check $(VENV)/collected
	@command -v "$${KUBECTL:-kubectl}" >/dev/null || $(BIN)/python -c 'from tests.programs import NO_KUBECTL; print(NO_KUBECTL, "(its tests are skipped)")'
	$(PYTEST) -rs -n 6 --no-loadscope-reorder --ignore=tests/e2e $(LONG:%=--ignore=%) $(PREEMPTIBLE_LONG:%=--ignore=%) $(FIRST) tests

# One Python beside the default one, as .ci/run does for those it finds: make test-other PYTHON=python3.13 VENV=.venv313
test-other: $(VENV)/dev-ready  ## the tests but the local cluster and what takes long, for another PYTHON in another VENV
	$(PYTEST) -rs -n 4 --no-loadscope-reorder --ignore=tests/e2e --ignore=tests/local $(LONG:%=--ignore=%) $(PREEMPTIBLE_LONG:%=--ignore=%) tests/corpus tests/kubelet tests

# Once for all workers, beside the checks: their own collection then finds bytecode. What is wrong with it, they tell.
$(VENV)/collected: $(SOURCES) pyproject.toml | $(VENV)/dev-ready
	@$(BIN)/python -m pytest --collect-only -qq --ignore=tests/e2e tests >/dev/null 2>&1 || true
	@touch $@

long: $(VENV)/dev-ready  ## the tests that take long: crashes, load, a little of make chaos and make fuzz, the demo, each property in full
	$(PYTEST) -n 3 --no-loadscope-reorder $(filter-out $(ALONE),$(LONG))
	$(PYTEST) -n 0 $(ALONE)
	VK_TEST_THOROUGH=1 $(PYTEST) -n 3 --no-loadscope-reorder -m "hypothesis or thorough" --ignore=tests/e2e $(LONG:%=--ignore=%) $(PREEMPTIBLE_LONG:%=--ignore=%) $(FIRST) tests

# SEEDS=20 plays fewer stories; python -m tests.preemptible.chaos --seed 7 plays one again, --plant gives it a fault to find.
SEEDS ?= 100
long-preemptible: $(VENV)/dev-ready  ## days of preemptible Jobs from the real provider, and SEEDS stories of chaos with such Jobs
	$(PYTEST) -n 2 -s $(PREEMPTIBLE_LONG)
	$(BIN)/python -m tests.preemptible.chaos --seeds $(SEEDS)

# The control plane: KUBEBUILDER_ASSETS names a folder with its programs, or VK_E2E_KUBECONFIG a cluster; else KUBE says
# which Kubernetes is built: 1.37 (from Go modules), 1.20 (Debian's source package), or all. E2E="tests/e2e/test_node.py"
# plays a part of it. NODE=real plays tests/e2e/real on a worker node with a kubelet and containerd (as root).
KUBE ?= 1.37
E2E ?= tests/e2e
ifeq ($(KUBE),all)
e2e:
	$(MAKE) e2e KUBE=1.37
	$(MAKE) e2e KUBE=1.20
else ifeq ($(NODE),real)
e2e: $(VENV)/dev-ready
	$(BIN)/python -m tests.e2e.build
	$(BIN)/python -m tests.e2e.images
	$(BIN)/python -m tests.e2e.realnode $(PYTEST) $(or $(filter-out tests/e2e,$(E2E)),tests/e2e/real) -v --durations=10
else
e2e: export KUBE := $(KUBE)
e2e: $(VENV)/dev-ready  ## the tests on a real Kubernetes control plane (KUBE=1.37, 1.20 or all), built the first time
	$(BIN)/python -m tests.e2e.build
	$(BIN)/python -m tests.e2e.helm
	$(BIN)/python -m tests.e2e.clients
	$(BIN)/python -m tests.e2e.controlplane $(BIN)/python -m pytest tests/contract/kube
	$(PYTEST) -n 2 --ignore=tests/e2e/neighbours $(E2E) -v --durations=10  # each worker has a control plane of its own
endif

long-e2e: export KUBE := $(KUBE)
long-e2e: $(VENV)/dev-ready  ## what of make e2e takes too long for .ci/run: the agent's suite, ten fail-overs in bursts of 300, 10,000 pods
	$(BIN)/python -m tests.e2e.build
	$(PYTEST) -n 0 tests/e2e/test_qos_agent.py -v --durations=10
	VK_E2E_FAILOVERS=10 VK_E2E_BURST=300 $(PYTEST) -n 0 -s tests/e2e/test_leadership.py
	VK_E2E_NODES=10 VK_E2E_REPLICAS=3 VK_E2E_PODS=1000 $(PYTEST) -n 0 -s tests/e2e/test_several_nodes.py -k figures

# ORACLE="exit-1 deadline" plays some cases, CALLS="logs exec" some groups of calls; PLANE=real plays on the control plane
# of make e2e. RECORD=1 records them anew on a real kubelet, which is built the first time (as root).
oracle: $(VENV)/dev-ready  ## every case and call beside what a real kubelet said; fails on a difference that nothing explains
	$(if $(CALLS),,$(BIN)/python -m tests.oracle$(if $(RECORD),.realnode) $(ORACLE))
	$(if $(ORACLE),,$(BIN)/python -m tests.oracle$(if $(RECORD),.realnode --calls,.api) $(CALLS))

# One control plane for all of it; metrics-server and the suite are built the first time, in some minutes.
neighbours: $(VENV)/dev-ready  ## metrics-server with an autoscaler, and the Go library's own suite, on a real control plane
	$(BIN)/python -m tests.e2e.build
	$(BIN)/python -m tests.e2e.neighbours.programs
	$(PYTEST) tests/e2e/neighbours -v

# CONFORMANCE="--focus Lease" runs some of them; "--write" writes the table of tests/conformance/README.md.
conformance: $(VENV)/dev-ready  ## Kubernetes' own tests of a node; fails on what nobody expected (built the first time)
	$(BIN)/python -m tests.conformance $(CONFORMANCE)

# CHAOS="--seeds 20" plays many short ones and ends with a table; CHAOS="--plant orphan" gives the provider a bug to find.
# With CHAOS="--virtual --seeds 200" so many stories on virtual time instead: a second each, the same each time.
chaos: $(VENV)/dev-ready  ## everything that can go wrong, by a new seed, and an audit; CHAOS="--seed 7 --real" repeats or moves it
	$(BIN)/python -m tests.chaos $(CHAOS)

# SOAK="--plant descriptors --minutes 15" gives the provider a leak to find; --judge FILE judges the samples of a run again.
soak: $(VENV)/dev-ready  ## an even life for an hour, and whether memory, descriptors, threads and tasks stay what they were
	$(BIN)/python -m tests.soak $(SOAK)

fuzz: $(VENV)/dev-ready  ## a million harmed inputs for each parser that faces the network (about an hour)
	$(BIN)/python -m tests.fuzz.run $(FUZZ)

# MUTATE="--sample 300 --again" judges those once more that survived; what was judged stays in mutants/.
SAMPLE ?= 300
mutate: $(VENV)/dev-ready  ## small faults planted in the core, one at a time: which do the tests notice? SAMPLE=0 tries all
	$(BIN)/python -m tests.mutate --sample $(SAMPLE) $(MUTATE)

# What `make test` compares is counts only; this measures time too, and wants a machine that does nothing else. PEER=1
# measures a node made with the Go library virtual-kubelet too, which is built the first time.
bench: $(VENV)/dev-ready  ## figures of bursts, idleness, starts and streams beside the control plane's own ceiling
	$(if $(PEER),$(BIN)/python -m tests.bench.peer)
	$(BIN)/python -m tests.bench $(if $(PEER),--peer) $(BENCH)

# Prometheus' own evaluation of alerts and queries, out of Debian's package, which is not installed, for it would start a
# server. Elsewhere put a promtool on PATH.
PROMTOOL_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vk-provider/bin
promtool: $(VENV)/dev-ready  ## get promtool, then try every alert and every query of the dashboard with it
	@$(MAKE) --no-print-directory get-promtool
	$(BIN)/python -m pytest -rs tests/monitoring

.PHONY: get-promtool
get-promtool:
	@command -v promtool >/dev/null || test -x $(PROMTOOL_DIR)/promtool || { \
		mkdir -p $(PROMTOOL_DIR) && folder=$$(mktemp -d) && cd $$folder \
			&& apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . \
			&& cp usr/bin/promtool $(PROMTOOL_DIR)/ && rm -rf $$folder; \
	} || { echo "promtool is missing, and Debian's package prometheus cannot be had: put one on PATH"; exit 1; }

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
	rm -rf $(VENV) .venv31? build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache mutants

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
