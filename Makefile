# Rushes: `make demo` shows it working, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := schemas services/runtime services/normalizer services/syncer services/kitsu services/embedded

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

$(VENV)/installed: requirements.lock $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rushes needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  $(DISTRIBUTIONS:%=-e %)
	@touch $@

.PHONY: environment
environment: $(VENV)/installed ## Make the virtual environment from the hashed lock

LOCK_PART := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-header -c requirements.lock

.PHONY: lock
lock: environment ## Resolve the dependencies anew into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  pyproject.toml --group pyproject.toml:dev \
	  $(foreach name,schemas runtime normalizer syncer kitsu embedded,--no-emit-package rushes-$(name)) \
	  -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  -c requirements.lock helm/requirements.in -o helm/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header helm/checkov.in -o helm/checkov.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  deploy/audit/requirements.in -o deploy/audit/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  tests/contracts/schemathesis.in -o tests/contracts/schemathesis.lock
	$(MAKE) lock-image

.PHONY: lock-image
lock-image: environment ## Lock what the image needs of that, and what builds it
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/$(LOCK_PART) services/normalizer/pyproject.toml services/syncer/pyproject.toml services/kitsu/pyproject.toml --extra ffmpeg \
	  --no-emit-package rushes-schemas --no-emit-package rushes-runtime -o image/requirements.lock
	echo "hatchling setuptools" | tr ' ' '\n' | $(BIN)/$(LOCK_PART) - -o image/build-requirements.lock

.PHONY: demo
demo: environment ## Show Rushes at work on the embedded stack; MOVIES=folder takes your own files
	$(BIN)/rushes-embedded demo $(if $(MOVIES),--movies "$(MOVIES)")

.PHONY: up
up: environment ## Keep the stack and both services running; prints every address
	$(BIN)/rushes-embedded up

.PHONY: down
down: environment ## End what `make up` keeps running
	$(BIN)/rushes-embedded down

# While one test waits for a server, others compute. Each worker has servers of its own (0.8 GB).
TEST_WORKERS ?= 3
PYTEST := $(BIN)/python -m $(if $(COVERAGE),coverage run -m )pytest
SIDE_BY_SIDE := --numprocesses $(TEST_WORKERS) --dist worksteal

.PHONY: test
test: environment ## Pass the tests that take minutes and need nothing else; TEST_WORKERS=1 takes one after another
	$(PYTEST) -m "not extended" $(SIDE_BY_SIDE)

.PHONY: test-extended
test-extended: environment ## Pass the tests that `make test` leaves out: faults, Apache Kafka, browsers, security, docs/vm.md ...
	$(PYTEST) -m "extended and not alone" $(SIDE_BY_SIDE)
	$(PYTEST) -m alone

.PHONY: test-all
test-all: test test-extended test-zou chart contracts test-image test-kubernetes ## Pass every test that there is

.PHONY: test-one
test-one: environment ## Pass one test, file or folder: make test-one T=tests/unit/runtime/test_breaker.py
	@test -n "$(T)" || { echo "Say which: make test-one T=tests/unit/runtime/test_breaker.py::NAME" >&2; exit 1; }
	$(PYTEST) $(T)

.PHONY: test-changed
test-changed: environment ## Pass the core tests of what differs from SINCE=commit (default: what is not committed)
	@tests=$$($(BIN)/python -m tests.changed $(SINCE)) && if [ -n "$$tests" ]; then set -x; \
	  $(PYTEST) -m "not extended" $(SIDE_BY_SIDE) $$tests; else echo "Nothing has changed that has tests."; fi

.PHONY: coverage
coverage: environment ## Show the branches that the tests reach, by package; after `make test test-extended COVERAGE=1`
	$(BIN)/coverage combine --quiet --append
	$(BIN)/python -m tests.coverage_by_package

.PHONY: chart
chart: environment ## Check the Helm chart; GOLDEN=write renews its golden files
	GOLDEN=$(GOLDEN) $(BIN)/python -m pytest tests/chart --numprocesses 2 --dist loadfile

.PHONY: contracts
contracts: environment ## Check the contracts: official parsers, compilers, the last release, publishers, a registry, the read API
	$(BIN)/python -m pytest tests/contracts

.PHONY: test-zou
test-zou: environment ## A real Zou, its movies made by Rushes; installs Zou in the cache, needs redis-server
	$(BIN)/python -m pytest tests/zou

.PHONY: test-large-objects
test-large-objects: environment ## Objects of more than 5 GiB from store to store; needs 25 GB of disk
	$(BIN)/python -m tests.large_objects

.PHONY: audit
audit: environment ## Ask sources of advisories about the locked packages; says so if none answers
	$(BIN)/python -m tests.audit requirements.lock image/requirements.lock

.PHONY: check
check: environment ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy schemas/src services/*/src tests docs helm image examples

.PHONY: bench-intake
bench-intake: environment ## Intake against a bare consumer that writes as many rows
	$(BIN)/python -m tests.bench.intake

.PHONY: bench-pipeline
bench-pipeline: environment ## A job's wall time against bare ffmpeg, and the services' memory
	$(BIN)/python -m tests.bench.pipeline

.PHONY: bench-claim
bench-claim: environment ## Claims and finishes with 1,000,000 queued jobs, against 10,000
	$(BIN)/python -m tests.bench.claim

.PHONY: bench-wait
bench-wait: environment ## Jobs that an upload waits for, with a long bulk queue and all slots busy
	$(BIN)/python -m tests.bench.wait

.PHONY: fuzz-media
fuzz-media: environment ## Damaged movies and pictures: each ends ready or with a failure code
	$(BIN)/python -m tests.fuzz.media

.PHONY: bench-media
bench-media: environment ## Rushes against Zou: CPU, VMAF, bytes; installs Zou in the cache
	$(BIN)/python -m tests.bench.media

.PHONY: bench-encoders
bench-encoders: environment ## Encoder settings: CPU against quality; draws docs/media-encoders.svg
	$(BIN)/python -m tests.bench.encoders --table --picture docs/media-encoders.svg

.PHONY: bench-pictures
bench-pictures: environment ## Pictures of 100 megapixels: libvips against Pillow
	$(BIN)/python -m tests.bench.pictures

.PHONY: bench-slots
bench-slots: environment ## A batch in two slots on two cores against one slot
	$(BIN)/python -m tests.bench.slots

.PHONY: faults
faults: environment ## 200 faults on real servers, then a look from outside; needs Java and Go
	$(BIN)/python -m tests.faults.conductor $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS))

.PHONY: faults-calibrate
faults-calibrate: environment ## Mutants of the product: the conductor must catch each
	$(BIN)/python -m tests.faults.calibrate

.PHONY: bench-bulk
bench-bulk: environment ## Previews a second that a bulk pass over lost sources ends
	$(BIN)/python -m tests.bench.bulk

.PHONY: bench-sync
bench-sync: environment ## A full pass of the syncer against rclone; needs rclone
	$(BIN)/python -m tests.bench.sync

.PHONY: bench-import
bench-import: environment ## An import of 100,000 previews from Zou's database
	$(BIN)/python -m tests.bench.zou_import

.PHONY: drill
drill: environment ## Cause what each alert looks for; it fires and resolves, and no other page does
	$(BIN)/python -m tests.drill $(ALERTS)

.PHONY: bench-scrape
bench-scrape: environment ## A scrape of the metrics with 1,000,000 jobs in the ledger
	$(BIN)/python -m tests.bench.scrape

.PHONY: image
image: ## Build the image into dist/, with its SBOM; needs docker, podman or buildah
	image/build dist

.PHONY: test-image
test-image: environment image ## Build the image twice and look into it; needs runc
	$(BIN)/python -m pytest tests/image

.PHONY: test-kubernetes
test-kubernetes: environment image ## Image and chart on real Kubernetes; needs root, Go, Java, containerd (README)
	$(BIN)/python -m tests.kubernetes $(if $(KUBECONFIG_OF),--kubeconfig "$(KUBECONFIG_OF)" --loader "$(LOADER)" --address "$(ADDRESS)")

.PHONY: schemas
schemas: environment ## Generate JSON Schemas, documentation tables and the chart's schema anew
	$(BIN)/python -m rushes_schemas.json_schemas schemas/src/rushes_schemas/json
	$(BIN)/python -m rushes_schemas.typescript schemas/typescript/rushes.ts
	$(BIN)/python -m docs.generate
	$(BIN)/python helm/generate.py
	$(BIN)/python -m helm.dashboards
