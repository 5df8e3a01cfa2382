#!/usr/bin/env bash
# Re-pin every dependency, with hashes and without index addresses. Needs `uv`.
set -euo pipefail
cd "$(dirname "$0")/.."
pin() { # pin OUT ARGS...: resolve for every supported Python and platform at once
  out=$1; shift
  uv pip compile --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --quiet --output-file "requirements/$out" \
    pyproject.toml "$@"
}
pin run.txt --group pyproject.toml:build
pin dev.txt --extra mujoco --extra box2d --extra atari --extra gymnax \
  --extra onnx --extra stablehlo --extra report --extra optuna --group pyproject.toml:dev
