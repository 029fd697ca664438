# Every target does its own set-up; nothing but Python 3.11 or newer is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-parts test-real test-all check fix bench bench-elastic bench-page bench-windows bench-week simulate peers chaos faces web web-test docs pictures clean

# The page is built where it is missing or older than its sources; that it is not costs a tenth of a second.
setup: $(VENV)/ready
	@$(BIN)/python scripts/web.py --try

$(VENV)/ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Fairlead needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	@echo "setting up $(VENV) with pinned packages: once, a minute or two" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: setup
	@echo "starting the platform, then the demo: a minute the first time, while its environments are built" >&2
	@$(BIN)/fairlead up --demo $(ARGS)

test: test-parts test-real

test-parts: setup
	$(BIN)/python -m pytest -q tests/unit tests/contract -n 2 --dist loadfile $(ARGS)

# By three workers, for these tests mostly wait; in this order, for files with few tests take the longest.
test-real: setup
	$(BIN)/python -m pytest -q tests/thread tests/process -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: test
	FAIRLEAD_HYPOTHESIS=explore $(BIN)/python -m pytest -q tests/unit -n 2 --dist loadfile --timeout 1200
	$(BIN)/python -m pytest -q -m long tests
	FAIRLEAD_REPEAT=10 scripts/repeat

check: setup
	$(BIN)/ruff check src tests examples scripts benchmarks
	$(BIN)/ruff format --check src tests examples scripts benchmarks
	$(BIN)/mypy
	$(BIN)/python scripts/census.py
	$(BIN)/python scripts/reference.py --check
	$(BIN)/python scripts/openapi.py --check
	$(BIN)/python scripts/collected.py
	$(BIN)/python -m pytest -q tests/unit/test_house.py

fix: setup
	$(BIN)/ruff check --fix src tests examples scripts benchmarks
	$(BIN)/ruff format src tests examples scripts benchmarks

bench: setup
	$(BIN)/python benchmarks/bench.py

bench-elastic: setup
	$(BIN)/python benchmarks/elastic.py

bench-page: setup
	$(BIN)/python benchmarks/page.py

bench-windows: setup
	$(BIN)/python benchmarks/windows.py

bench-week: setup
	$(BIN)/python benchmarks/week.py

simulate: setup
	$(BIN)/python benchmarks/simulate.py

faces: setup
	$(BIN)/python benchmarks/faces.py

chaos: setup
	$(BIN)/python -m tests.thread.chaos_run --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10) --out $(or $(OUT),docs/benchmarks)

peers: setup
	$(BIN)/python benchmarks/peers.py

web: $(VENV)/ready
	@$(BIN)/python scripts/web.py

web-test: $(VENV)/ready
	@$(BIN)/python scripts/web.py --all

docs: setup
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/openapi.py

# Every screen for the guide, of a demo of its own: some minutes.
pictures: setup
	$(BIN)/python scripts/pictures $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
