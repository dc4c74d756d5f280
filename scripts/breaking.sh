#!/bin/sh
# Compares protos/ with those of the last release tag, or else of main, so that no field changes its meaning unseen.
# Prints what it compared with; a fresh repository has no base and says so.
set -eu
cd "$(dirname "$0")/.."
git rev-parse --git-dir >/dev/null 2>&1 || { echo "breaking changes: not a git checkout, nothing to compare with"; exit 0; }
base=
for candidate in "$(git describe --tags --abbrev=0 2>/dev/null || true)" origin/main main; do
    [ -n "$candidate" ] || continue
    if git cat-file -e "$candidate:protos" 2>/dev/null; then base=$candidate; break; fi
done
[ -n "$base" ] || { echo "breaking changes: no earlier protos to compare with"; exit 0; }
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$base" protos | tar -x -C "$before"
.venv/bin/buf breaking protos --against "$before/protos"
echo "breaking changes: none since $base"
