# shellcheck shell=bash disable=SC2034
# Functions for tests/run and .ci/release: divide a script into sections, name the section that failed, and install Debian packages.

say() { printf '%s\n' "$*"; }

begun=$SECONDS
section() {
    [[ -z ${current:-} ]] || say "--- $current: $((SECONDS - section_begun)) s"
    current=$1 section_begun=$SECONDS
    say "" "=== $current"
}
failed() {
    local code=$?
    [[ $code == 0 ]] || say "" "FAILED in: ${current:-start} (exit code $code)" >&2
}
trap failed EXIT

# Installs missing Debian packages if we may; otherwise prints their names.
packages() {
    say "installing $*"
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        say "please install: $*" >&2
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q "$@" >/dev/null || { apt-get update -q >/dev/null && apt-get install -y -q "$@" >/dev/null; }
}
