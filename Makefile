# make demo   set up, then train PPO on CartPole: the whole journey in one command
# make test   set up, then everything CI checks
# make bench  how fast, beside peers (with an environment of their own; hours)
# make learn  the long runs behind docs/results.md, coverage and the studies (hours)
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench learn docs mutate clean
demo: .venv/run
	$(BIN)/peira train ppo CartPole-v1

test: check docs
	$(BIN)/pytest -n auto

check: .venv/dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

docs: .venv/dev
	$(BIN)/mkdocs build --strict

learn: .venv/dev
	$(BIN)/pytest -n auto -m long
	$(BIN)/python bench/coverage.py
	$(BIN)/python bench/learn.py
	$(BIN)/python bench/offline.py
	$(BIN)/python bench/forecasts.py
	$(BIN)/python bench/studies.py

bench: export PEERS = $(CURDIR)/.venv-peers/bin/python
bench: .venv/dev .venv-peers/made
	test -d datasets/halfcheetah-random || $(BIN)/peira data build halfcheetah-random --out datasets
	$(BIN)/python bench/speed/start.py
	$(BIN)/python bench/speed/roof.py
	$(BIN)/python bench/speed/latency.py
	$(BIN)/python bench/speed/scaling.py
	$(BIN)/python bench/speed/contest.py
	$(BIN)/python bench/speed/reach.py
	$(BIN)/python bench/speed/page.py

.venv-peers/made: bench/peers/requirements.txt bench/peers/d3rlpy.txt bench/peers/tianshou.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --require-hashes --no-deps -r bench/peers/requirements.txt -r bench/peers/d3rlpy.txt -r bench/peers/tianshou.txt
	touch $@

mutate: .venv/dev
	$(BIN)/python tests/mutate.py

.venv/%: requirements/%.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv site build dist
