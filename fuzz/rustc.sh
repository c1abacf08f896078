#!/bin/sh
# Called by cargo in place of rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER): compiles them so that
# they count for libFuzzer what was run and what was compared. These options are those of cargo-fuzz.
set -e
case " $* " in
    # Build scripts are no part of what is fuzzed, and are linked without libFuzzer.
    *" --crate-name build_script_"*) exec "$@" ;;
esac
# Neither are the questions that cargo asks of rustc.
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
