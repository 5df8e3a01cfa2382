# make demo   set up, then train PPO on CartPole: the whole journey in one command
# make test   set up, then everything CI checks
# make learn  the long runs behind docs/results.md, coverage and the studies (hours)
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check learn docs mutate clean
demo: .venv/run
	$(BIN)/peira train ppo CartPole-v1

test: check docs
	$(BIN)/pytest -n auto

check: .venv/dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

docs: .venv/dev
	$(BIN)/mkdocs build --strict --quiet

learn: .venv/dev
	$(BIN)/python bench/coverage.py
	$(BIN)/python bench/learn.py
	$(BIN)/python bench/offline.py
	$(BIN)/python bench/studies.py

mutate: .venv/dev
	$(BIN)/python tests/mutate.py

.venv/%: requirements/%.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv site build dist
