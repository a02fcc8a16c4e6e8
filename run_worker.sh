#!/bin/sh
# Builds omsconnect where that is needed, and runs a worker with runtime/connect.conf.
#
#   sh ./run_worker.sh                         the settings of runtime/connect.conf
#   sh ./run_worker.sh --http-port 8082        flags are passed on and count more than the file
#   sh ./run_worker.sh -c other.conf           another file
#
# OMSCONNECT_BIN=/path/to/omsconnect runs that program and builds nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if [ -z "${OMSCONNECT_BIN:-}" ]; then
    target=${CARGO_TARGET_DIR:-$here/target}
    OMSCONNECT_BIN=$target/release/omsconnect
    if command -v cargo >/dev/null 2>&1; then
        (cd "$here" && cargo build --quiet --release --locked --package cli --target-dir "$target")
    elif [ ! -x "$OMSCONNECT_BIN" ]; then
        echo "error: $OMSCONNECT_BIN is not built, and there is no cargo to build it: install Rust with rustup" >&2
        exit 1
    fi
fi

for argument in "$@"; do
    case $argument in
        -c* | --configFile* | --config-file* | -h | --help) exec "$OMSCONNECT_BIN" worker "$@" ;;
    esac
done
exec "$OMSCONNECT_BIN" worker -c "$here/runtime/connect.conf" "$@"
