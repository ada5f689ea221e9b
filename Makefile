# What there is to do; `make` alone tells.  Needs Python 3.11 or newer, and GnuPG; on Debian, as root, both are seen to.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGE := build/package

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint bench package deploy clean

help: ## Say what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ready ## Publish a disk image to every Region of an embedded cloud, and read it back
	$(BIN)/broadside demo

test: lint judges ## Everything that must hold before a commit
	$(BIN)/pytest -m "not long"

test-long: ready judges ## The tests that take minutes
	$(BIN)/pytest -m long

lint: ready ## Style, types, and the CloudFormation template
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m broadside.packaging --template-only build/lint
	$(BIN)/cfn-lint build/lint/template.json

bench: ready ## How fast blocks are written and builds are published: docs/performance.md, made anew
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[bench]"
	$(BIN)/python -m benchmarks

package: ready ## Write build/package/template.json and deployment.zip
	$(BIN)/python -m broadside.packaging $(PACKAGE)

deploy: ## Deploy: STAGE=prod [REGION=] [ARTIFACTS=bucket] [ALARM_EMAIL=] [PUBLIC_URL=]
	@infra/deploy.sh check
	@$(MAKE) package $(PACKAGE)/gpg-layer.zip
	@infra/deploy.sh $(PACKAGE)/template.json

clean: ## Remove what was built, the virtual environment included
	rm -rf build dist $(VENV) .chalice/deployments .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(PACKAGE)/gpg-layer.zip: infra/gpg-layer/build.sh
	infra/gpg-layer/build.sh $@

export STAGE REGION ARTIFACTS ALARM_EMAIL PUBLIC_URL

# -------------------------------------------------------------------------------------------------------------- the machine

# $(call need,TEST,PACKAGES): unless the test succeeds, install Debian packages, or say which are missing.
define need
@{ $(1); } >/dev/null 2>&1 || { \
    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
        echo "Installing $(2) ..."; \
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(2) >/dev/null; \
    else \
        echo "Missing: $(2).  Install it (Debian: sudo apt-get install $(2)), then run make again." >&2; exit 1; \
    fi; \
}
endef

.PHONY: ready
ready: $(VENV)/.ready
	$(call need,command -v gpg && command -v gpg-agent && command -v gpgconf && command -v gpgv,gpg gpg-agent gpgconf gpgv)

# What the tests judge disk images by.
.PHONY: judges
judges:
	$(call need,command -v qemu-img && command -v qemu-io && command -v xz && command -v zstd,qemu-utils xz-utils zstd)

# Made anew when what is to be installed has changed.
$(VENV)/.ready: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is not Python 3.11 or newer: name one that is, as in make PYTHON=python3.12." >&2; exit 1; }
	$(call need,$(PYTHON) -c "import ensurepip",python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@
