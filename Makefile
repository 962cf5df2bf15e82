# SPDX-License-Identifier: GPL-2.0-or-later
#
# The front door.  Each target does all of its own set-up; the work is in scripts/.

# BASE=10.2 builds over that QEMU, QEMU_SOURCE=DIR over one of yours; for refresh see
# scripts/refresh.
BUILD   = build$(if $(filter-out 10.0,$(BASE)),-$(BASE))
JOBS    = $(shell nproc)
OVER    = $(if $(BASE),--base=$(BASE)) $(if $(QEMU_SOURCE),--qemu-source=$(QEMU_SOURCE))

CONFIGURE = ./configure --if-needed --build-dir=$(BUILD) $(if $(TARGETS),--targets=$(TARGETS)) $(OVER)
NINJA = scripts/build $(BUILD) -j$(JOBS)
PYTHON = /usr/bin/python3
# A build folder of its own for a QEMU with sanitizers.
ASAN = $(BUILD)-asan
# What "make check" runs, which is less than QEMU builds.
CHECKED = qemu-system-x86_64 qemu-img qemu-snapshot fixed-ram-programs \
	tests/unit/test-vmstate $(addprefix tests/qtest/,migration-test qmp-cmd-test test-hmp)
SOAK_BUILD = $(if $(SANITIZE),$(ASAN),$(BUILD))
export HOOK NEW MSG FILES

.PHONY: help run check clones libvirt bench fuzz soak tsan build configure apply source docs series refresh refresh-check lint clean distclean soak-asan
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

help:
	@echo "make run            build, save a guest, load it eagerly and on demand, compare"
	@echo "make check          lint, unit tests, our scenarios, QEMU's migration tests"
	@echo "make clones         many clones of one snapshot: times and memory (CLONES=8)"
	@echo "make libvirt        virsh restore of a guest, as always and on demand, compared"
	@echo "make bench          the benchmarks, about two hours (BENCH_QUICK=1: some minutes)"
	@echo "make fuzz           hostile snapshots for ten minutes (FUZZ_SECONDS=N)"
	@echo "make soak           random commands, guests, loads and failures for MINUTES=3"
	@echo "                    (SEED=N repeats a run; SANITIZE=1 uses a QEMU with ASan and UBSan)"
	@echo "make tsan           unit tests with threads, under ThreadSanitizer"
	@echo "make build          build QEMU and its tests in build/"
	@echo "make configure      install packages, fetch QEMU, apply the series, run QEMU's configure"
	@echo "make apply          the same, and link files that have been added or removed since"
	@echo "make source         only what lint, docs, series and refresh need: build/source"
	@echo "make lint           style and rules of the repository, without tests"
	@echo "make docs           QEMU's manual with our pages, in build/docs/html"
	@echo "make series         mailing-list patches in build/series (SIGNOFF=1 signs them)"
	@echo "make refresh        write patches/ from edits in build/source"
	@echo "                    (HOOK=NNN or NEW=NNN-name MSG=..., FILES=...)"
	@echo "make refresh-check  make refresh, and fail if it changes patches/"
	@echo "make clean          remove what was compiled, and logs"
	@echo "make distclean      remove build/ and build-source/, and those of SANITIZE=1"
	@echo
	@echo "BASE=10.2  over that QEMU, in build-10.2   QEMU_SOURCE=DIR  over a QEMU of yours"
	@echo "TARGETS=LIST  QEMU targets   JOBS=N"

configure:
	@scripts/setup
	@$(CONFIGURE)

apply: configure
	@scripts/apply --build-dir=$(BUILD)

# For what needs the source but no build.
source:
	@scripts/setup
	@scripts/apply --build-dir=$(BUILD) $(OVER)

build: apply
	@$(NINJA)

run: apply
	@$(NINJA) qemu-system-x86_64 qemu-img
	@kernel=$$(scripts/base kernel) && $(PYTHON) scripts/run.py --build $(BUILD) --kernel "$$kernel"

check: apply
	@$(NINJA) $(CHECKED)
	@scripts/check --build-dir=$(BUILD)

clones: apply
	@$(NINJA) qemu-system-x86_64 qemu-img qemu-snapshot
	@scripts/clones --build-dir=$(BUILD) --mode=mapped,on-demand,eager \
		$(if $(CLONES),--number=$(CLONES))

libvirt: apply
	@$(NINJA) qemu-system-x86_64
	@scripts/libvirt --build-dir=$(BUILD)

bench: build
	@scripts/bench --build-dir=$(BUILD)

fuzz: build
	@scripts/fuzz --build-dir=$(BUILD) $(if $(FUZZ_SECONDS),--seconds=$(FUZZ_SECONDS))

soak: $(if $(SANITIZE),soak-asan,apply)
	@scripts/build $(SOAK_BUILD) -j$(JOBS) qemu-system-x86_64 qemu-img qemu-snapshot \
		tests/unit/fixed-ram/faults/libfixed-ram-faults.so
	@scripts/soak --build-dir=$(SOAK_BUILD) $(if $(MINUTES),--minutes=$(MINUTES)) \
		$(if $(SEED),--seed=$(SEED))

tsan: apply
	@$(NINJA) fixed-ram-tsan-tests
	@scripts/check --build-dir=$(BUILD) unit-tsan

soak-asan:
	@scripts/setup
	@./configure --if-needed --build-dir=$(ASAN) $(OVER) \
		-- --enable-asan --enable-ubsan
	@scripts/apply --build-dir=$(ASAN)

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
	@rm -rf $(BUILD)/bench $(BUILD)/check $(BUILD)/clones $(BUILD)/fuzz $(BUILD)/libvirt $(BUILD)/run $(BUILD)/series $(BUILD)/soak $(BUILD)/docs/html $(BUILD)/docs/doctrees

distclean:
	@test ! -e $(BUILD)/source || scripts/apply --build-dir=$(BUILD) --check-saved
	@rm -rf $(BUILD) $(BUILD)-source $(BUILD)-source.tmp $(ASAN) $(ASAN)-source $(ASAN)-source.tmp
