# make demo   sets up and runs the main job on what the project ships
# make test   all checks and fast tests; the data beside the project is used if DOUBLEQ_DATA names it
PYTHON ?= python3.11
VENV := .venv/bin
READY := .venv/ready

demo: $(READY)
	$(VENV)/doubleq demo

test: $(READY)
	$(VENV)/ruff check .
	$(VENV)/mypy
	OMP_NUM_THREADS=1 $(VENV)/pytest -n 2 --dist loadscope -m "not slow"

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(VENV)/pytest -n 2 --dist loadscope -m slow

checkpoint: $(READY)
	$(VENV)/doubleq train --model resnet8 --data digits --seed 0 -o models/resnet8_digits.safetensors

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(VENV)/pip install --disable-pip-version-check -q -r requirements.lock
	$(VENV)/pip install --disable-pip-version-check -q --no-build-isolation --no-deps -e .
	touch $@

.PHONY: demo test test-slow checkpoint
