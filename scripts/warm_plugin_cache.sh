#!/usr/bin/env bash
# Compiles the bundled plugins once, into the cache that all tests share: many
# tests at a time that each find it cold are slower than their time limits.
# Usage: warm_plugin_cache.sh DIRECTORY_OF_BINARIES
set -euo pipefail
built=$1
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
NAOSU_CONFIG=/dev/null NAOSU_PLUGINS__CACHE="$built/naosu-test-cache" \
  NAOSU_STORE__PATH="$store/naosu.db" "$built/naosu" plugin list >/dev/null
