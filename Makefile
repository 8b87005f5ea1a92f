# Every target sets up what it needs in .venv; nothing else on the machine is touched but by `make system`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS ?= train,pdf,devices,postgres,dev

.PHONY: help install system demo reproduce test lint pictures clean

help:
	@echo "make demo       simulate a cohort, train, evaluate, report, diagnose; prints paper / this run / ceiling"
	@echo "make test       ruff, mypy, import-linter and all tests"
	@echo "make reproduce  the same as demo with full fine-tuning"
	@echo "make bench-NAME tcell, sim, sim_requirements, train, stats, coverage, normalisation, recipe, brain16,"; \
	echo "                latency, cold, throughput, prepare, tray, gate, envelope, calibration, explain, quantisation,"; \
	echo "                acquisition, laser, ambient, recording, phantom, live, load, crash;"; \
	echo "                one JSON object as the last line; ARGS=--record writes docs/results.md"
	@echo "make system     install the Debian packages that the full test run uses"

install: $(STAMP)

# torch and torchvision first, at the versions of constraints.txt: Linux wheels bring GPU libraries (about 5 GB on disk).
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $(STAMP)

# Pango prints the PDF, poppler reads it, Chromium opens the report and LaTeX its tables as a reader does; the statistics are
# held against R with pROC. PostgreSQL and strace try the case store. Aravis drives GenICam cameras and brings a fake one; its Python binding builds against girepository.
SYSTEM_PACKAGES := aravis-tools chromium gir1.2-aravis-0.8 libcairo2-dev libgirepository1.0-dev libharfbuzz-subset0 \
	libpango-1.0-0 libpangoft2-1.0-0 pkg-config poppler-utils postgresql r-base-core r-cran-proc strace \
	texlive-latex-recommended
system:
	@missing="$$(for p in $(SYSTEM_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done)"; \
	if [ -z "$$missing" ]; then echo "all Debian packages are here"; \
	else apt-get update && apt-get install -y --no-install-recommends $$missing; fi

# The peer that speed and maps are measured beside, also in tests; without its OpenCV, which would overwrite ours.
PEER := $(VENV)/.peer
$(PEER): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'grad-cam==1.5.7' 'ttach==0.0.3'
	touch $(PEER)

# The binding of Aravis is built from source, so only where Debian's headers are (make system); tests skip without it.
ARAVIS := $(VENV)/.aravis
$(ARAVIS): $(STAMP)
	if pkg-config --exists gobject-introspection-1.0 cairo; then \
		$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[aravis]' && touch $(ARAVIS); \
	else echo "no headers of girepository and cairo: Aravis is left out (make system installs them)"; fi

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint $(PEER) $(ARAVIS)
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not alone"
	$(BIN)/pytest -q -m alone

demo: $(STAMP)
	$(BIN)/python benchmarks/demo.py --out demo $(ARGS)

reproduce: $(STAMP)
	$(BIN)/python benchmarks/demo.py --out reproduce --full

pictures: $(STAMP)
	$(BIN)/python benchmarks/pictures.py
	$(BIN)/python benchmarks/pictures_devices.py
	GLIOSCOPE_PICTURES=docs/images $(BIN)/pytest -q tests/console/test_end_to_end.py

bench-latency bench-throughput bench-explain: $(PEER)

bench-acquisition: $(ARAVIS)

bench-%: $(STAMP)
	$(BIN)/python benchmarks/$*.py $(ARGS)

clean:
	rm -rf demo reproduce build dist .pytest_cache .mypy_cache .ruff_cache
