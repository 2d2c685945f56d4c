# Two commands are all a newcomer types: `make demo` runs a whole treaty, `make test` runs the tests.
# They need Python >= 3.11, make and a package index; each makes .venv when there is none.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=
# Tests and the demo start hundreds of processes: what is compiled once is kept, whatever this shell asks for.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak mutants proto requirements vectors sbom clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "error: no Python >= 3.11 found; install one, or set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: requirements/testnet.txt requirements/build.txt pyproject.toml | .venv/bin/python
	$(INSTALL) --no-deps --require-hashes -r requirements/testnet.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/build.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	$(INSTALL) --no-deps --require-hashes -r requirements/dev.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ .venv/.demo

demo: .venv/.demo  ## run a whole treaty on this machine: labs, verifiers, a brake, an audit (ARGS="--seed 7")
	$(BIN)/brakeline demo $(ARGS)

test: .venv/.dev  ## run the tests (ARGS="-k ledger")
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: .venv/.dev  ## lint, types, layers, guards, generated code
	$(BIN)/python tools/check_tree.py
	$(BIN)/python tools/proto.py --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright

bench: .venv/.dev  ## measure ratios, not part of the tests; writes bench-out/ (ARGS="log --scale")
	$(BIN)/python -m bench $(ARGS)

soak: .venv/.dev  ## the long counts that CI samples
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest --soak -m soak $(ARGS)

mutants: .venv/.dev  ## change rules, admission and accounting in one place at a time: does a test notice? (ARGS="--sample 0": all)
	$(BIN)/python -m tools.mutants $(ARGS)

proto: .venv/.dev  ## generate the code of the wire from proto/
	$(BIN)/python tools/proto.py

vectors: .venv/.dev  ## write the vectors and the conformance cases of docs/spec again
	$(BIN)/brakeline audit vectors --out docs/spec/vectors
	$(BIN)/brakeline audit cases --out docs/spec/conformance/cases

requirements: .venv/.dev  ## pin again what CI and releases install (needs uv on PATH)
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --universal pyproject.toml -o requirements/base.txt
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --universal --extra node pyproject.toml -o requirements/node.txt
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --universal --extra testnet pyproject.toml -o requirements/testnet.txt
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --universal --extra dev pyproject.toml -o requirements/dev.txt
	printf 'hatchling\neditables\n' | uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --universal --constraints requirements/dev.txt - -o requirements/build.txt

sbom: .venv/.dev  ## write a CycloneDX bill of materials a pin file into build/sbom
	$(BIN)/python tools/sbom.py build/sbom

clean:  ## remove what was made here, .venv too
	rm -rf .venv demo-out bench-out .mutants
