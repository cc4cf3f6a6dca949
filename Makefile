# The one place that knows how to go from a fresh checkout to the book. `make` alone lists the targets.

PROFILE ?= tiny
SEEDS ?=
WORKERS ?=
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
# Files in their order, the long ones first: else one process ends alone on a long test.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
BIN := $(VENV)/bin

# `make book BIN=...` uses an environment that is already there (conda); else .venv is made first.
READY := $(VENV)/.installed
LAB_READY := $(VENV)/.installed-lab
ifeq ($(origin BIN),command line)
READY :=
LAB_READY :=
endif

# The library and the chapters read their settings from here.
# A file of yours is found from any folder.
override PROFILE := $(if $(filter %.py,$(PROFILE)),$(abspath $(PROFILE)),$(PROFILE))
export MIRAGE_PROFILE := $(PROFILE)
ifneq ($(SEEDS),)
export MIRAGE_SEEDS := $(SEEDS)
endif

.DEFAULT_GOAL := help
.PHONY: help book serve pdf notebook lab claims bench test test-all lint clean book-clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '## ' Makefile
	@echo
	@echo "  PROFILE=tiny (default), nano or a file of yours    SEEDS=5    WORKERS=2    PYTHON=python3.12    PORT=8000"

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and \"$(PYTHON)\" is not. Name one: make book PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install "$$(grep '^torch==' constraints.txt)"  # first, so that nothing picks another build
	$(BIN)/python -m pip install -c constraints.txt -e ".[book,test]"
	touch $@

$(VENV)/.installed-lab: $(VENV)/.installed
	$(BIN)/python -m pip install -c constraints.txt -e ".[lab]"
	touch $@

lab: $(READY) ## train and question the laboratory's models; resumes where it stopped
	$(BIN)/python -m mirage_lib study --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(WORKERS),--workers $(WORKERS))

claims: lab ## test every claim of the book on the laboratory's results
	$(BIN)/python -m mirage_lib claims --profile $(PROFILE) $(if $(SEEDS),--seeds $(SEEDS))

book: lab ## build the book into _build/html
	$(BIN)/python tools/build_book.py --profile $(PROFILE)

serve: ## serve the built book to this machine's browser, on PORT; builds nothing
	@test -f _build/html/index.html || { echo "There is no book in _build/html. Build it first: make book"; exit 1; }
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

pdf: $(READY) ## print each page of the built book into _build/pdf, with Chromium
	$(BIN)/python tools/print_book.py

notebook: export JUPYTER_PREFER_ENV_PATH := 1
notebook: $(LAB_READY) ## open the chapters in JupyterLab (installed at the first use)
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

bench: $(READY) ## the audit of a million prompts beside plain pandas; the models of the pages beside PyTorch
	$(BIN)/python benchmarks/audit_speed.py
	$(BIN)/python benchmarks/page_parity.py

lint: $(READY) ## style, imports, types, stripped notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/nbstripout --verify $(wildcard notebooks/*.ipynb)

test: export MIRAGE_PROFILE := nano
test: export OMP_NUM_THREADS := 1
test: lint ## lint, then the tests (nano profile), in two processes
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not long"

test-all: export MIRAGE_PROFILE := nano
test-all: export OMP_NUM_THREADS := 1
test-all: lint ## the same, with the tests that take minutes
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

book-clean: ## remove the built book and its notebook caches
	rm -rf _build

clean: book-clean ## also remove the environment and what npm brought; results in the store stay
	rm -rf $(VENV) book/assets/node_modules book/_static/third_party .pytest_cache .ruff_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
