# SPDX-License-Identifier: Apache-2.0
# A thin face over Meson: what to type. Everything else is in meson.build.

BUILD ?= build
MODEL ?=
ARGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 300
SOAK_SECONDS ?= 1800
TESTS ?=

SETUP = meson setup --buildtype=release
QUIET = >/dev/null
SANITIZED = --buildtype=debugoptimized -Db_lundef=false

.DEFAULT_GOAL := all
.PHONY: all run test lint format soak fuzz install help asan tsan clang clean docs
.NOTPARALLEL:

all: ## build build/kvasir (release)
	@tools/need build
	@test -f $(BUILD)/build.ninja || $(SETUP) -Dtests=false $(BUILD) $(QUIET)
	@ninja -C $(BUILD) --quiet kvasir

run: all ## serve the demo model at http://127.0.0.1:8000, or MODEL=path, with ARGS='...'
	@exec tools/serve-demo $(BUILD)/kvasir $(MODEL) $(ARGS)

test: ## build and run the test suite (one test: TESTS=name)
	@tools/need build test e2e
	@tools/run-suite $(BUILD) --buildtype=release -- $(TESTS)

asan: ## the suite under AddressSanitizer and UBSan, in build-asan/
	@tools/need build test
	@tools/run-suite build-asan $(SANITIZED) -Db_sanitize=address,undefined -- $(TESTS)

tsan: ## the suite under ThreadSanitizer, in build-tsan/
	@tools/need build test
	@tools/run-suite build-tsan $(SANITIZED) -Db_sanitize=thread -- $(TESTS)

clang: ## the suite built by clang, in build-clang/
	@tools/need build test clang
	@CC=clang tools/run-suite build-clang --buildtype=release -- $(TESTS)

lint: ## clang-format, clang-tidy, the layering check: each with file and line
	@tools/need build test lint
	@tools/lint

format: ## let clang-format rewrite the tree
	@tools/need lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

fuzz: ## all fuzzers, FUZZ_SECONDS shared among them (300)
	@tools/need build test fuzz
	@tools/fuzz $(FUZZ_SECONDS)

soak: ## what takes too long for every commit: long simulation, fuzzers, load (SOAK_SECONDS)
	@tools/need build test fuzz
	@tools/soak $(SOAK_SECONDS)

docs: all ## write docs/options.md from the option tables
	@$(BUILD)/kvasir help --markdown > docs/options.md

install: ## into PREFIX (/usr/local) beneath DESTDIR: binary, demo model, licence
	@tools/need build
	@test -f $(BUILD)/build.ninja || $(SETUP) -Dtests=false $(BUILD) $(QUIET)
	@meson setup --reconfigure -Dprefix=$(PREFIX) $(BUILD) $(QUIET)
	@ninja -C $(BUILD) --quiet kvasir
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet --strip
	@echo "Installed $(DESTDIR)$(PREFIX)/bin/kvasir"

clean: ## remove every build folder
	@rm -rf $(BUILD) build-asan build-tsan build-clang build-fuzz build-soak

help: ## this list
	@echo "make [target] [MODEL=path] [ARGS='--port 9000 ...']"
	@sed -n 's/^\([a-z]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 12
	@echo "KVASIR_NO_INSTALL=1 names missing Debian packages instead of installing them."
