#!/bin/sh
# Locks the dependencies of pyproject.toml by hash, for every platform, without naming an index. `scripts/lock.sh --upgrade` takes the
# newest versions; without it a locked version stays unless pyproject.toml forbids it.
set -eu
cd "$(dirname "$0")/.."
lock() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}
# run is a subset of dev, and the tools agree with both: each is solved under the constraint of the one before.
lock "$@" pyproject.toml --extra services --extra sm --extra dev -o requirements/dev.lock
lock "$@" pyproject.toml --extra services -c requirements/dev.lock -o requirements/run.lock
lock "$@" requirements/tools.in -c requirements/dev.lock -o requirements/tools.lock
