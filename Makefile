# SPDX-License-Identifier: BSD-2-Clause
# The short names for what people do here; the build itself is meson.build.

BUILD = build
PREFIX = /usr/local
# Worlds that `make soak` simulates, and rounds of its random tests, each with
# a new seed.
ROUNDS = 1000

.PHONY: all deps run-deps bench-deps program-deps check demo bench bench-quick \
    programs soak install clean format lint

all: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD)

deps:
	@tools/deps.sh build

bench-deps:
	@tools/deps.sh bench

program-deps:
	@tools/deps.sh programs

$(BUILD)/build.ninja: | deps
	@tools/setup.sh $(BUILD) --prefix=$(PREFIX)

# Everything, in release, asan and tsan builds; ends with "N passed, N failed".
check:
	@tools/check.sh

# What a program is run with is looked for first, not after the build.
run-deps:
	@tools/deps.sh demo

demo: run-deps all
	@tools/demo.sh

# The comparison with the kernel's swap; -quick: a part of it, with floors.
bench bench-quick: bench-deps all
	@bench/bench.py $(if $(filter %-quick,$@),--quick)

# Real programs against their results and their budgets: docs/PROGRAMS.md.
programs: program-deps all
	@ninja --quiet -C $(BUILD) tests/lines
	@tools/programs.py

soak: all
	@tools/deps.sh check
	@tools/setup.sh $(BUILD)
	@tools/soak.sh $(BUILD) $(ROUNDS)

# As root into PREFIX; DESTDIR as usual.
install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)

format:
	find . -name build -prune -o -name '*.[ch]' -exec clang-format -i {} +

# What a missing tool cannot check is left out (exit code 77).
lint:
	@for what in format arrows listed seed clang; do \
	    tools/lint.sh $$what || [ $$? -eq 77 ] || exit 1; \
	done
