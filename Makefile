# The two commands are `make tutorial` and `make test`. Each installs what it needs into .venv first, with pinned versions.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
FOR_TUTORIAL := $(VENV)/for-tutorial
FOR_TEST := $(VENV)/for-test

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1
# Compiling everything that is installed takes half of pip's time. Python compiles what it imports, unless told not to.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(RUN) pip install --quiet --no-compile --constraint constraints.txt --editable

# npm installs what checks the types of the pages' scripts. No lock file: the version is exact, and it has no dependencies.
NPM := command -v npm >/dev/null && npm install --no-package-lock --no-audit --no-fund --silent

# The pages that `make course` prints, in order. Folds stay closed.
COURSE := start-here $(basename $(sort $(wildcard notebooks/*.ipynb))) binarise-your-own faq glossary references
CHROMIUM ?= chromium
PRINT := $(CHROMIUM) --headless --no-sandbox --disable-gpu --no-pdf-header-footer
JOIN := import sys; from pypdf import PdfWriter; out = PdfWriter(); [out.append(f) for f in sys.argv[2:]]; out.write(sys.argv[1])

# Two processes of one thread each: on two cores, two threads in each would take a third longer, and a third process gains
# nothing. The tests of a file stay together, in the order of pyproject.toml.
PYTEST := OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20

OLD := "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": try make PYTHON=python3.11"

.PHONY: help tutorial test test-all parity check site course serve notebooks lab bench format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(FOR_TUTORIAL): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit($(OLD) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) ".[packed,docs]"
	touch $@

$(FOR_TEST): $(FOR_TUTORIAL) package.json
	$(INSTALL) ".[packed,export,chip,circuit,study,bench,notebooks,docs,successor,test]"
	@$(NPM) || echo "No TypeScript (npm is missing, or it failed): the test that needs it will be skipped"
	touch $@

tutorial: $(FOR_TUTORIAL) ## train the tutorial's network, print its table beside Bender's, build the site
	$(RUN) bnn_tutorial
	@$(MAKE) --no-print-directory site

test: check ## the gate: ruff, types, the tests with doctests, the notebooks, the site in a browser
	$(PYTEST) -m "not slow"

test-all: check ## the gate and what takes longer; nothing is released without it
	$(RUN) properdocs build --strict --quiet --config-file mkdocs.yml --site-dir build/site-of-properdocs
	$(PYTEST) -m "not parity"

parity: $(FOR_TEST) ## all test images on all emulated chips, in twenty minutes
	$(PYTEST) --dist load -m parity tests/packed

check: $(FOR_TEST)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) ty check

site: $(FOR_TUTORIAL) ## build the site into site/; a broken link fails the build
	$(RUN) mkdocs build --strict --quiet
	@echo "The site is in $(CURDIR)/site: 'make serve' shows it in your browser"

course: site ## the notebooks as a zip and the course as a PDF, in build/course/; needs chromium
	$(INSTALL) ".[course]"
	rm -rf build/course && mkdir -p build/course
	$(RUN) zipfile -c build/course/notebooks.zip notebooks/*.ipynb
	for page in $(COURSE); do $(PRINT) --print-to-pdf=build/course/$$(basename $$page).pdf "file://$(CURDIR)/site/$$page/index.html"; done
	$(VENV)/bin/python -c '$(JOIN)' build/course/course.pdf $(COURSE:%=build/course/$$(basename %).pdf)

serve: $(FOR_TUTORIAL) ## show the site and follow your changes
	$(RUN) mkdocs serve --open

# If this variable is set, OpenBLAS uses slower kernels than it could, which would handicap a rival.
notebooks: $(FOR_TEST) ## execute the notebooks in place and clean them for git
	env -u OPENBLAS_CORETYPE $(RUN) tools.execute_notebooks notebooks/*.ipynb

lab: $(FOR_TEST) ## open the notebooks in JupyterLab
	$(RUN) jupyter lab notebooks

bench: $(FOR_TEST) ## measure speed against peers and limits, as ratios
	$(RUN) study.rivals.import_time
	env -u OPENBLAS_CORETYPE $(RUN) study.rivals.training
	env -u OPENBLAS_CORETYPE $(RUN) study.rivals.inference

format: $(FOR_TEST) ## let ruff fix what it can
	$(RUN) ruff check --fix
	$(RUN) ruff format

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) node_modules build dist site *.egg-info .pytest_cache .ruff_cache
