#!/bin/sh
# Where users of the original runtime look for it: cd runtime/; sh ./run_worker.sh
exec sh "$(dirname "$0")/../run_worker.sh" "$@"
