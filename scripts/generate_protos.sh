#!/bin/sh
# Generates xieban/wire/v1 from protos/. Run with the project's environment: the generators are pinned in requirements/dev.lock.
set -eu
cd "$(dirname "$0")/.."
out=${1:-.}
PATH="$PWD/.venv/bin:$PATH"
mkdir -p "$out/xieban/wire/v1"
python -m grpc_tools.protoc -I protos \
  --python_out="$out" --grpc_python_out="$out" --mypy_out=readable_stubs:"$out" --mypy_grpc_out="$out" \
  protos/xieban/wire/v1/*.proto
for package in "$out/xieban/wire" "$out/xieban/wire/v1"; do : > "$package/__init__.py"; done
