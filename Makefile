# One command surface; `make help` lists it. Each target sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: built help mutate rehearse rehearse-kubernetes shell test test-kubernetes test-long test-real test-real-again check lint types unit-tests bench \
	bench-boot bench-edge bench-gateway bench-routing bench-metrics bench-sizing bench-start bench-regions bench-peers board scaling-day docs site advisories advisories-images scan golden clean

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tandem
UV := $(or $(shell command -v uv),$(CACHE)/uv/bin/uv)
RUN := $(UV) run --no-sync
PYTEST := $(RUN) pytest -n auto --dist loadfile --no-loadscope-reorder --ignore tests/real
# Some machines set it; pytest would then compile all tests anew, in every worker.
unexport PYTHONDONTWRITEBYTECODE
STACKS ?= dev prod-ec2
STACK ?= dev
SAMPLE ?= 40

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 28

rehearse: .venv ## the stacks on hosts (STACKS="dev prod-ec2") up, unchanged, new image, expired, gone, simulated account
	$(RUN) tandem rehearse $(STACKS)

shell: .venv ## a shell in which `pulumi` works on a stack (STACK=dev) in a simulated account
	$(RUN) tandem rehearse --shell $(STACK)

rehearse-kubernetes: .venv ## prod on a real control plane, which is built once, in some fifteen minutes
	$(RUN) tandem rehearse prod

built: .venv ## engine, control plane and controllers, which the next three else build when they need them
	$(RUN) python -c "import rehearsal; from pulumi_rehearsal import engine; from pulumi_rehearsal.kubernetes import cluster; \
		engine.ensure(str); cluster.ensure(str)"

test: .venv ## tests, those on the real engine included
	$(PYTEST) -m "not (kubernetes or long or real)"

test-kubernetes: .venv ## tests on a real Kubernetes control plane, which is built once, in some fifteen minutes
	$(PYTEST) -m "kubernetes and not long"

test-long: .venv ## proofs of minutes: up killed at several points and recovered, removal killed after each call
	$(PYTEST) -m "long" --ignore tests/rehearsal/kubernetes/test_pressed_day.py
	$(RUN) pytest -n 0 -m long tests/rehearsal/kubernetes/test_pressed_day.py
	tools/real/install.sh nginx
	$(RUN) pytest -m "real and long" -n 0 tests/real

test-real: .venv ## a real boot, kubelet, nginx and vLLM; needs root, installs what it lacks and says what
	tools/real/install.sh
	$(RUN) pytest -m "real and not long" -n 2 --dist loadfile --no-loadscope-reorder tests/real

test-real-again: .venv ## what failed in test-real, with nothing beside it
	$(RUN) pytest -m "real and not long" -n 0 --last-failed --last-failed-no-failures none tests/real

check: lint ## lint, types, unit tests: the inner loop, a good minute
	$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync types unit-tests

lint: .venv
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) lint-imports --no-cache

types: # one thread, most of a minute on a busy core: the tests run beside it
	$(RUN) basedpyright

unit-tests: # without sweeps, which `make test` has; one worker more than processors: some tests wait, and types need one thread
	$(RUN) pytest -n $$(($$(nproc) + 1)) --dist worksteal --ignore tests/real \
		-m "not (account or clock or engine or kubernetes or long or real or sweep)"

mutate: .venv ## small faults in the code, and which no test sees: SAMPLE=40 more in each of MODULES="costs host" (hours for all)
	$(UV) run --locked --group mutate python tools/mutate.py --sample $(SAMPLE) $(MODULES)

bench: .venv ## preview of production beside a preview of as many trivial resources; size of the user data
	$(RUN) python -m bench

bench-start: .venv ## processor time of `tandem --help` and `tandem cost dev` beside what they cannot do without
	$(RUN) python -m bench.start

bench-sizing: .venv ## what one sizing call costs, and the whole catalog on all instance types
	$(RUN) python -m bench.sizing

bench-regions: .venv ## ten copies of production, up three at a time and down again (minutes)
	$(RUN) python -m bench.regions

bench-edge: .venv ## a host's nginx beside direct, vllm-router and LiteLLM (installs nginx, wrk and those two)
	tools/real/install.sh nginx wrk
	$(RUN) python -m bench.edge

bench-gateway: .venv ## LiteLLM with its PostgreSQL and Redis beside direct, edge, vllm-router and rolter (minutes)
	tools/real/install.sh nginx wrk postgresql redis-server
	$(RUN) python -m bench.gateway

bench-routing: .venv ## conversations by each way to choose a server, before real vLLM on CPUs (minutes)
	tools/real/install.sh nginx
	$(RUN) python -m bench.routing

bench-metrics: .venv ## what metrics take of a host, beside the same host without, in one run (root; 7 minutes)
	tools/real/install.sh
	$(RUN) python -m bench.metrics

bench-boot: .venv ## what our stages add to a guest's boot and reboot, beside an empty user data (root; 8 minutes)
	tools/real/install.sh
	$(RUN) python -m bench.boot

bench-peers: .venv ## other estimators on the measured starts, into tests/ and docs/ (torch, transformers: 6 GB, once)
	$(UV) run bench/sizing_peers.py
	$(RUN) python -m bench.sizing_tables docs/sizing.md

board: .venv ## docs/board.svg anew: the dashboard's panels, from minutes of the real vLLM and a real Prometheus
	tools/real/install.sh nginx
	BOARD_UPDATE=1 $(RUN) pytest -n 0 -m real tests/real/test_observed.py -k board

scaling-day: .venv ## a day of pods on the real KEDA, autoscaler and Karpenter, pressed into 24 minutes, into docs/
	SCALING_DAY_UPDATE=1 $(RUN) pytest -n 0 -m long tests/rehearsal/kubernetes/test_pressed_day.py
	$(RUN) python tools/scaling_day.py docs/scaling.md docs/scaling-day.svg

docs: .venv ## what is generated in docs/ and policies/, made anew
	$(RUN) python -m tandem.settings.table docs/settings.md
	$(RUN) python -m tandem.settings.json_schema docs/stack.schema.json
	$(RUN) python -m tandem.canary docs/canary.schema.json
	$(RUN) python -m tandem.ops.command_table docs/operations.md
	$(RUN) python -m tandem.observing.table docs/alarms.md
	$(RUN) python -m tandem.ops.rights.write
	$(RUN) python -m bench.sizing_tables docs/sizing.md
	$(RUN) python tools/scaling_day.py docs/scaling.md docs/scaling-day.svg
	$(RUN) python tools/stand_ins.py docs/stand-ins.md
	$(RUN) python tools/decisions.py docs/decisions/README.md

site: | $(UV) ## the documents as a site in build/site, to be read without a network
	# not --quiet: --strict counts warnings that are shown
	$(UV) run --locked --isolated --only-group site mkdocs build --strict

advisories: | $(UV) ## known vulnerabilities of all that uv.lock pins, by PyPI's advisories (asks PyPI)
	mkdir -p build
	$(UV) export --locked --quiet --all-groups --no-emit-workspace --output-file build/requirements.txt
	$(UV) tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes -r build/requirements.txt

scan: | $(UV) ## manifests, image, workflows and secrets in the tree, without a network once its tools are installed
	$(UV) run --locked --script tools/scan.py

advisories-images: .venv ## known vulnerabilities of what production runs, as its documents name it (Go; asks osv.dev)
	mkdir -p build
	for stack in prod prod-ec2; do $(RUN) tandem sbom $$stack --json > build/$$stack.cdx.json || exit; done
	go run github.com/google/osv-scanner/v2/cmd/osv-scanner@v2.2.4 scan source --all-packages \
		--lockfile build/prod.cdx.json --lockfile build/prod-ec2.cdx.json

golden: .venv ## what is rendered for hosts, made anew; review the difference
	GOLDEN_UPDATE=1 $(RUN) pytest tests/host/test_render.py tests/infra/kubernetes/test_manifests.py tests/gateway tests/ops/test_diagram.py -m "not engine"

clean: ## the environment and what tools left behind; the cache of built tools stays
	rm -rf .venv .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --compile-bytecode
	@touch .venv

$(CACHE)/uv/bin/uv:
	@echo "uv is not on PATH: taking it from PyPI into $(CACHE)/uv"
	@{ python3 -m venv --clear $(CACHE)/uv && $(CACHE)/uv/bin/pip install --quiet -r tools/uv/requirements.txt; } \
		> /dev/null 2>&1 || python3 tools/uv/fetch.py $(CACHE)/uv
