# SPDX-License-Identifier: GPL-2.0-or-later
#
# The front door.  Each target does all of its own set-up; the work is in scripts/.

BUILD   = build
JOBS    = $(shell nproc)

# QEMU_SOURCE=DIR builds over one's own QEMU 10.0.x; for refresh see scripts/refresh.
CONFIGURE = ./configure --if-needed --build-dir=$(BUILD) \
	$(if $(TARGETS),--targets=$(TARGETS)) $(if $(QEMU_SOURCE),--qemu-source=$(QEMU_SOURCE))
NINJA = scripts/build $(BUILD) -j$(JOBS)
PYTHON = /usr/bin/python3
export HOOK NEW MSG FILES

.PHONY: help run check bench build configure apply source docs series refresh refresh-check lint clean distclean
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

help:
	@echo "make run            build, save a guest, load it eagerly and on demand, compare"
	@echo "make check          lint, unit tests, our scenarios, the base's migration tests"
	@echo "make bench          the benchmarks: most of an hour; BENCH_QUICK=1: some minutes"
	@echo "make build          build QEMU and its tests in build/"
	@echo "make lint           style and rules of the repository, without tests"
	@echo "make docs           QEMU's manual with our pages, in build/docs/html"
	@echo "make series         mailing-list patches in build/series (SIGNOFF=1 signs them)"
	@echo "make refresh        write patches/ from edits in build/source"
	@echo "                    (HOOK=NNN or NEW=NNN-name MSG=..., FILES=...)"
	@echo "make refresh-check  the same, and fail if anything differs from what is committed"
	@echo "make clean          remove what was compiled"
	@echo "make distclean      remove build/ and build-source/"
	@echo
	@echo "TARGETS=LIST  QEMU targets   QEMU_SOURCE=DIR  one's own 10.0.x   JOBS=N"

configure:
	@scripts/setup
	@$(CONFIGURE)

apply: configure
	@scripts/apply --build-dir=$(BUILD)

# For what needs the source but no build.
source:
	@scripts/setup
	@scripts/apply --build-dir=$(BUILD) $(if $(QEMU_SOURCE),--qemu-source=$(QEMU_SOURCE))

build: apply
	@$(NINJA)

run: apply
	@$(NINJA) qemu-system-x86_64 qemu-img
	@kernel=$$(scripts/base kernel) && $(PYTHON) scripts/run.py --build $(BUILD) --kernel "$$kernel"

check: build
	@scripts/check --build-dir=$(BUILD)

bench: build
	@test -x scripts/bench || { echo "there are no benchmarks yet"; exit 1; }
	@scripts/bench --build-dir=$(BUILD)

docs: source
	@scripts/docs --build-dir=$(BUILD)

series: source
	@scripts/series --build-dir=$(BUILD) $(if $(SIGNOFF),--signoff)

refresh: source
	@scripts/refresh --build-dir=$(BUILD)

refresh-check: refresh
	@git diff --exit-code -- patches
	@new=$$(git ls-files -o -- patches); test -z "$$new" || { echo "not in git: $$new"; exit 1; }

lint: source
	@scripts/lint --build-dir=$(BUILD)

clean:
	@test ! -e $(BUILD)/build.ninja || ninja -C $(BUILD) -t clean > /dev/null
	@rm -rf $(BUILD)/bench $(BUILD)/check $(BUILD)/run $(BUILD)/series $(BUILD)/docs/html $(BUILD)/docs/doctrees

distclean:
	@test ! -e $(BUILD)/source || scripts/apply --build-dir=$(BUILD) --check-saved
	@rm -rf $(BUILD) $(BUILD)-source $(BUILD)-source.tmp
