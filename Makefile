# inspector: see README.md. All targets are safe to repeat.
PARTS ?= 60
LLM ?= default
ARGS ?=
export LLM

.PHONY: help run setup test lint clean

help:
	@echo "make run     set up and run the demo line    (PARTS=60, LLM=default|small|none, ARGS='--seed 7')"
	@echo "make test    set up and run all tests        (ARGS='-k arbiter', ARGS='--hypothesis-profile random')"
	@echo "make setup   set up alone, into .venv"
	@echo "make lint    ruff, mypy --strict, import layers"

run:
	@deploy/setup.sh run
	@.venv/bin/inspector demo --parts $(PARTS) --llm $(LLM) $(ARGS)

setup:
	@deploy/setup.sh run

test:
	@deploy/setup.sh test
	@.venv/bin/python -m pytest $(ARGS)

lint:
	@deploy/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	$(MAKE) -C inspector/camera/producer clean
