#!/usr/bin/env bash
# Install what the tests need, then lint and test: ./scripts/test.sh [unit|native|full] [arguments of pytest]
#   unit    the quick part, no services
#   native  with real services, without Docker
#   (none)  both
#   full    everything there is, the long ones too
# What this machine cannot run is skipped with its reason; LLM_GATEWAY_TEST_REQUIRE=docker,node,…|all makes that fail.
set -eu

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# The tests' tools stand in the checkout, whatever home the person uses.
unset LLM_GATEWAY_HOME
find_places "$scripts"

selection="tests"
marks="not long"
case ${1:-} in
unit | native)
	selection="tests/$1"
	shift
	;;
full)
	marks=""
	shift
	;;
esac
# A path among the arguments replaces the selection.
for argument in "$@"; do
	[ ! -e "${argument%%::*}" ] || selection=""
done

python=""
find_python
"$python" -I -B "$root/src/llm_gateway/bootstrap/__main__.py" venv "$root/.venv" --home "$home" --requirements dev \
	--hint "$(package_command pip)"

cd "$root"
export PATH="$root/.venv/bin:$PATH"
unset PYTHONPATH PYTHONHOME
echo "ruff, mypy, shellcheck"
ruff check --quiet
ruff format --check --quiet
mypy --no-error-summary
# There is no wheel of shellcheck for Linux on arm64.
! command -v shellcheck >/dev/null || shellcheck --external-sources scripts/*.sh .ci/run
if [ -n "$selection" ]; then
	# Two at a time, each file in one of them; a file or two named by hand show their output as it comes.
	[ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ] || set -- --numprocesses=2 --dist=loadfile "$@"
	exec python -m pytest ${marks:+-m "$marks"} "$@" "$selection"
fi
exec python -m pytest ${marks:+-m "$marks"} "$@"
