#!/usr/bin/env bash
# Install what is missing, then start the gateway: ./scripts/start_llm_gateway.sh --config FILE [options]
# The kit reads .env itself; nothing here sources it.
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

for argument in "$@"; do
	if [ ! -x "$program" ] && { [ "$argument" = --help ] || [ "$argument" = -h ]; }; then
		cat <<-END
			Usage: start_llm_gateway.sh --config FILE [--detach] [options]

			Installs the kit into $home and starts the gateway.
			Nothing is installed there yet. The first start does it; --help then lists every option.
			LLM_GATEWAY_HOME and LLM_GATEWAY_PYTHON choose another place and another Python.
		END
		exit 0
	fi
done

ensure_installed "$@"
export LLM_GATEWAY_HOME="$home"
exec "$program" start "$@"
