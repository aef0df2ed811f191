#!/bin/sh
# Installs what ltcgw needs beside Rust: PostgreSQL server binaries (15 or later) and a C compiler.
# With `tests` as argument also xmllint, without which the tests skip the check of XML against XSD, pgbouncer, without
# which they skip what stands before PostgreSQL, and under target/ Python packages (openapi-spec-validator, schemathesis,
# prometheus-client) in a virtual environment, which the tests of schemas/openapi.json, docs/pulling.md and /metrics use,
# and promtool, without which the tests skip the check of the alerts.
#
# Run by `make demo` and `make test`; says nothing when nothing is missing. Installs through
# apt-get, with sudo where not root. It starts no database: Debian would make a cluster and start
# it on port 5432, which is switched off for the time of the installation; ltcgw runs its own.

set -eu

POSTGRES_MIN=15

say() { echo "setup: $*" >&2; }

# The server binaries ltcgw itself would find (src/store/embedded/binaries.rs).
has_postgres() {
    if [ -n "${LTCGW_POSTGRES_BIN:-}" ]; then
        [ -x "$LTCGW_POSTGRES_BIN/postgres" ] && [ -x "$LTCGW_POSTGRES_BIN/initdb" ] && return 0
        say "LTCGW_POSTGRES_BIN is $LTCGW_POSTGRES_BIN, but postgres and initdb are not there."
        exit 1
    fi
    for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
        [ -x "$initdb" ] || continue
        version=${initdb%/bin/initdb}
        version=${version##*[/-]}
        [ "${version%%.*}" -ge "$POSTGRES_MIN" ] 2>/dev/null && return 0
    done
    bin=$(pg_config --bindir 2>/dev/null || true)
    for postgres in "${bin:+$bin/postgres}" "$(command -v postgres || true)"; do
        [ -n "$postgres" ] && [ -x "${postgres%postgres}initdb" ] || continue
        version=$("$postgres" --version 2>/dev/null | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
        [ "${version:-0}" -ge "$POSTGRES_MIN" ] && return 0
    done
    return 1
}

# Rust links with the C compiler; some crates compile C.
has_compiler() {
    command -v cc >/dev/null && [ -e /usr/include/stdio.h ]
}

check_rust() {
    command -v cargo >/dev/null && return 0
    if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        say "Rust is installed but not on the PATH. Run:  . \"${CARGO_HOME:-$HOME/.cargo}/env\""
    else
        say "Rust is missing. Install it from https://rustup.rs, then come back:"
        say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    fi
    exit 1
}

# Says what to do by hand, and why we cannot.
give_up() {
    say "$1"
    say "Please install by hand: $2"
    say "PostgreSQL elsewhere? Set LTCGW_POSTGRES_BIN to the folder of its postgres and initdb."
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The newest PostgreSQL server the package lists offer; empty if none is new enough.
newest_postgres() {
    apt-cache search --names-only '^postgresql-[0-9]+$' | sed 's/^postgresql-\([0-9]*\) .*/\1/' | sort -n |
        awk -v min="$POSTGRES_MIN" '$1 >= min { newest = $1 } END { if (newest) print newest }'
}

install_missing() {
    wanted=$1
    command -v apt-get >/dev/null || give_up "$wanted missing, and there is no apt-get here." "$wanted"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || give_up "$wanted missing; installing needs root, and there is no sudo here." "$wanted"
        sudo -n true 2>/dev/null || [ -t 0 ] || give_up "$wanted missing; installing needs root, and sudo would ask for a password." "$wanted"
    fi
    say "missing: $wanted. Updating the package lists ..."
    as_root apt-get update -qq || say "the package lists could not be updated; trying with the old ones."

    packages=""
    if ! has_compiler; then packages="gcc libc6-dev"; fi
    if ! has_postgres; then
        version=$(newest_postgres)
        [ -n "$version" ] || give_up "this system's packages have no PostgreSQL $POSTGRES_MIN or later." \
            "PostgreSQL $POSTGRES_MIN or later, for example from https://wiki.postgresql.org/wiki/Apt"
        packages="$packages postgresql-$version"
    fi
    say "installing:" $packages
    no_cluster=/etc/postgresql-common/createcluster.d/ltcgw-setup.conf
    as_root mkdir -p "${no_cluster%/*}"
    echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
    status=0
    # shellcheck disable=SC2086 # several words are several packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >&2 || status=$?
    as_root rm -f "$no_cluster"
    [ "$status" -eq 0 ] || give_up "apt-get failed." "$packages"
}

# A package the tests can do without.
install_for_tests() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || return 1
    say "installing: $1"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2 && return 0
    as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2
}

# Debian's package starts a service of its own, which nobody here asked for.
install_pgbouncer() {
    install_for_tests pgbouncer || return 1
    if command -v systemctl >/dev/null && systemctl is-active --quiet pgbouncer 2>/dev/null; then as_root systemctl disable --now --quiet pgbouncer || true; fi
}

check_rust
missing=""
if ! has_compiler; then missing="a C compiler (gcc, libc6-dev)"; fi
if ! has_postgres; then missing="${missing:+$missing and }PostgreSQL $POSTGRES_MIN or later (server binaries)"; fi
if [ -n "$missing" ]; then
    install_missing "$missing"
    has_compiler || give_up "there is still no C compiler." "gcc libc6-dev"
    has_postgres || give_up "there are still no PostgreSQL server binaries." "postgresql"
    say "done."
fi
# Outside of everybody's Python: kept under the folder cargo builds in, made once.
install_python_tests() {
    folder=${CARGO_TARGET_DIR:-target}/python-tests
    wanted="openapi-spec-validator==0.9.0 prometheus-client==0.26.0 schemathesis==4.32.5"
    [ "$(cat "$folder/wanted" 2>/dev/null || true)" = "$wanted" ] && return 0
    say "installing into $folder: $wanted"
    if ! python3 -m venv "$folder" >/dev/null 2>&1; then
        install_for_tests python3-venv && python3 -m venv "$folder" || return 1
    fi
    # shellcheck disable=SC2086 # several words are several packages
    "$folder/bin/pip" install --quiet --disable-pip-version-check $wanted >&2 || return 1
    echo "$wanted" >"$folder/wanted"
}

# Only the program, out of Debian's package: installed, that would start a Prometheus nobody here asked for.
unpack_promtool() {
    folder=${CARGO_TARGET_DIR:-target}/promtool
    [ -x "$folder/promtool" ] || command -v promtool >/dev/null && return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    say "unpacking promtool into $folder"
    mkdir -p "$folder"
    (
        cd "$folder"
        apt-get download -qq prometheus >/dev/null 2>&1 || { as_root apt-get update -qq && apt-get download -qq prometheus >/dev/null 2>&1; } || exit 1
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/promtool && rm -f prometheus_*.deb
    )
}

if [ "${1:-}" = tests ]; then
    cd "$(dirname "$0")/.."
    unpack_promtool || say "promtool (of Debian's package prometheus) could not be had; the check of deploy/alerts.yml by it is skipped."
    install_python_tests || say "the Python packages of the tests could not be installed; tests of schemas/openapi.json, docs/pulling.md and /metrics fail without them."
fi
if [ "${1:-}" = tests ] && ! command -v xmllint >/dev/null; then
    # Not worth stopping for: only the documents' XSD is not checked without it.
    install_for_tests libxml2-utils || say "xmllint (libxml2-utils) is missing and could not be installed; the XSD check is skipped."
fi
if [ "${1:-}" = tests ] && ! [ -x /usr/sbin/pgbouncer ] && ! command -v pgbouncer >/dev/null; then
    install_pgbouncer || say "pgbouncer is missing and could not be installed; the tests of poolers are skipped."
fi
