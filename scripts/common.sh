# shellcheck shell=bash
# What the scripts share: where the checkout and the home are, which Python to use, and how to install when
# something changed. bash 3.2 and BSD tools are enough. Sourced, never run; it never changes directory.

# Sets `root` (the directory above the scripts, or theirs when they stand alone) and `home`, both absolute.
find_places() {
	local scripts=$1
	case $scripts in
	*/scripts) root=${scripts%/scripts} ;;
	*) root=$scripts ;;
	esac
	if [ -n "${LLM_GATEWAY_HOME:-}" ]; then
		case $LLM_GATEWAY_HOME in
		/*) home=$LLM_GATEWAY_HOME ;;
		\~/*) home=$HOME/${LLM_GATEWAY_HOME#\~/} ;;
		*) home=$PWD/$LLM_GATEWAY_HOME ;;
		esac
	elif [ "$root" = /opt/llm_gateway ]; then
		home=$root
	else
		home=$root/.llm_gateway
	fi
	program=$home/venvs/gateway/bin/llm-gateway
}

fail() { # fail CODE MESSAGE CAUSE NEXT
	printf '%s %s\n  Cause: %s\n  Next:  %s\n' "$1" "$2" "$3" "$4" >&2
	exit 3
}

# The command that brings python or pip on this distribution: package_command python|pip
package_command() {
	local ids="" sudo=""
	[ "$(id -u)" = 0 ] || sudo="sudo "
	if [ "$(uname -s)" = Darwin ]; then
		echo "brew install python@3.13"
		return
	fi
	# Only the two needed keys are read; the file is never sourced.
	[ ! -r /etc/os-release ] || ids=$(sed -n 's/^ID\(_LIKE\)\{0,1\}=//p' /etc/os-release | tr -d "\"'" | tr '\n' ' ')
	case " $ids " in
	*" debian "* | *" ubuntu "*)
		if [ "$1" = pip ]; then
			echo "${sudo}apt-get install -y python3-pip"
		else
			echo "${sudo}apt-get update && ${sudo}apt-get install -y python3 python3-pip"
		fi
		;;
	*" fedora "* | *" rhel "* | *" centos "* | *" amzn "*)
		if [ "$1" = pip ]; then
			echo "${sudo}dnf install -y python3-pip"
		else
			echo "${sudo}dnf install -y python3.12 python3.12-pip"
		fi
		;;
	*suse*)
		if [ "$1" = pip ]; then
			echo "${sudo}zypper install -y python3-pip"
		else
			echo "${sudo}zypper install -y python312 python312-pip"
		fi
		;;
	*" arch "*) echo "${sudo}pacman -S --needed python python-pip" ;;
	*) echo "Install Python 3.11 or newer and its pip with this system's package manager." ;;
	esac
}

# Whether $1 runs a CPython from 3.11 to 3.14 with 64 bits. Version managers put names on PATH that do not run.
suits() {
	"$1" -I -c 'import sys; sys.exit(not (
(3, 11) <= sys.version_info[:2] < (3, 15) and sys.maxsize > 2**32 and sys.implementation.name == "cpython"))' \
		>/dev/null 2>&1 </dev/null
}

# Sets `python`, or ends with one error.
find_python() {
	local name
	if [ -n "${LLM_GATEWAY_PYTHON:-}" ]; then
		python=$(command -v "$LLM_GATEWAY_PYTHON" || true)
		if [ -z "$python" ] || ! suits "$python"; then
			fail E201 "LLM_GATEWAY_PYTHON=$LLM_GATEWAY_PYTHON is no Python that the kit can use." \
				"It must be CPython 3.11 to 3.14, 64 bits." "unset LLM_GATEWAY_PYTHON, or: $(package_command python)"
		fi
		return
	fi
	for name in python3.13 python3.12 python3.11 python3.14 python3 python; do
		python=$(command -v "$name" || true)
		if [ -n "$python" ] && suits "$python"; then
			return
		fi
	done
	fail E201 "There is no Python 3.11 to 3.14 on PATH." "The newest one found is too old, or there is none." \
		"$(package_command python); or name one: LLM_GATEWAY_PYTHON=/path/to/python3.12"
}

# One line that changes whenever what is installed would: sources, lock files, the home's and the checkout's place.
fingerprint() {
	local sums
	sums=$(cd "$root" && find pyproject.toml README.md src configs compose devcontainer-feature.json \
		-type f ! -name '*.py[co]' -exec cksum {} + 2>/dev/null | LC_ALL=C sort | cksum)
	printf '%s %s %s %s\n' "$sums" "${LLM_GATEWAY_PYTHON:-}" "$home" "$root"
}

# Install or repair the gateway's environment, unless nothing changed since the last time.
ensure_installed() {
	local stamp=$home/venvs/gateway/.start-stamp now old="" python
	# An installed copy has no sources to compare with.
	if [ ! -f "$root/pyproject.toml" ] && [ -x "$program" ]; then
		return
	fi
	now=$(fingerprint)
	[ ! -r "$stamp" ] || IFS= read -r old <"$stamp" || true
	# bin/python is a link: its target is gone when the system's Python was replaced.
	if [ "$old" = "$now" ] && [ -x "$program" ] && [ -x "$home/venvs/gateway/bin/python" ]; then
		return
	fi
	rm -f "$stamp"
	find_python
	local package=$root/src/llm_gateway
	[ -d "$package" ] || fail E224 "There is nothing to install in $root." \
		"The script was copied without the repository." "Run it from a clone of the repository."
	"$python" -I -B "$package/bootstrap/__main__.py" install --home "$home" --hint "$(package_command pip)" -- "$@" || exit $?
	if printf '%s\n' "$now" >"$stamp.$$"; then
		mv -f "$stamp.$$" "$stamp"
	fi
}
