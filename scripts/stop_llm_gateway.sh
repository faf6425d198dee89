#!/usr/bin/env bash
# Stop what start_llm_gateway.sh started. Installs nothing.
set -eu

link=${BASH_SOURCE[0]}
while [ -L "$link" ]; do
	target=$(readlink "$link")
	case $target in /*) link=$target ;; *) link=$(dirname "$link")/$target ;; esac
done
scripts=$(cd "$(dirname "$link")" && pwd -P)
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
find_places "$scripts"

if [ ! -x "$program" ]; then
	echo "Nothing is installed in $home, so nothing runs there." >&2
	exit 0
fi
export LLM_GATEWAY_HOME="$home"
exec "$program" stop "$@"
