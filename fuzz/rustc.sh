#!/bin/sh
# Cargo calls this script instead of rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER). It compiles them with
# coverage and comparison counters for libFuzzer; the options are those of cargo-fuzz.
set -e
case " $* " in
    # Build scripts are not fuzzed, and are linked without libFuzzer.
    *" --crate-name build_script_"*) exec "$@" ;;
esac
# Cargo also calls rustc for information only.
case " $* " in
    *" --crate-name "[!_]*) ;;
    *) exec "$@" ;;
esac
exec "$@" \
    -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares
