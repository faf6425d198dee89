#!/usr/bin/env bash
# Make every hash-locked requirements file again. Pins that still fit are kept; `--upgrade` moves them.
# The kit must stay installable from wheels alone, so nothing here may need a compiler.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
locks=$root/src/llm_gateway/requirements
uv=$(command -v uv || true)
[ -n "$uv" ] || uv=$(PYTHONPATH="$root/src" python3 -m llm_gateway.bootstrap uv)

compile() { # compile OUTPUT SOURCE [uv's arguments]
	local output=$1 source=$2
	shift 2
	(cd "$root" && "$uv" pip compile "$source" --output-file "$output" --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command scripts/lock.sh "$@")
}

relative=src/llm_gateway/requirements
compile "$relative/gateway.txt" pyproject.toml "$@"
compile "$relative/dev.txt" pyproject.toml --group dev --constraints "$relative/gateway.txt" "$@"
for source in "$locks"/*.in; do
	name=$(basename "$source" .in)
	compile "$relative/$name.txt" "$relative/$name.in" "$@"
done
