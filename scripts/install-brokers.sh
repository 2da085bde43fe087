#!/bin/sh
# Makes sure that the message brokers of the tests are there: RabbitMQ from Debian, and ActiveMQ
# Classic and Artemis, whose parts Maven fetches into a directory outside of the checkout. Which
# parts, and their sums, stand in scripts/brokers. Silent when there is nothing to do.
#
# What cannot be installed here is noted in that directory, and its tests say by name that they were
# not run. In CI that is a failure.
set -eu

# Where relay/tests/support/broker.rs looks for them.
SERVERS="${SSE_RELAY_TEST_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sse-relay/servers}"
LISTS="$(cd "$(dirname "$0")" && pwd)/brokers"
# The part of Maven that copies what a list names.
COPY=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies

log=$(mktemp)
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT
mkdir -p "$SERVERS"

apt() {
    command -v apt-get >/dev/null 2>&1 || { echo "no apt-get here" >"$log"; return 1; }
    if [ "$(id -u)" -eq 0 ]; then
        root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        root="sudo -n"
    else
        echo "neither root nor password-less sudo" >"$log"
        return 1
    fi
    # RUNLEVEL: the tests start their own brokers; the packages' services are not wanted.
    # shellcheck disable=SC2086 # $root is a command with its option, or nothing
    $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1
}

package() {
    # The package lists may be missing or old.
    apt install -y --no-install-recommends "$@" || { apt update && apt install -y --no-install-recommends "$@"; }
}

have() {
    PATH="$PATH:/usr/sbin:/sbin:/usr/lib/rabbitmq/bin" command -v "$1" >/dev/null 2>&1
}

missing() { # broker: there is a reason in the log
    echo "install-brokers: $1 could not be installed: $(tail -n 3 "$log" | tr '\n' ' ')" >&2
    if [ "${CI:-}" = true ]; then
        cat "$log" >&2
        exit 1
    fi
    tail -n 3 "$log" >"$SERVERS/$1.missing"
}

rabbitmq() {
    have rabbitmq-server || package rabbitmq-server || { missing rabbitmq; return; }
    rm -f "$SERVERS/rabbitmq.missing"
}

# A broker in Java: whole in its directory, or not there.
java_broker() {
    have java || package default-jre-headless || { missing "$1"; return; }
    [ -d "$SERVERS/$1" ] && (cd "$SERVERS/$1" && sha256sum --quiet --strict --check "$LISTS/$1.sha256") >"$log" 2>&1 || fetch "$1" || { missing "$1"; return; }
    rm -f "$SERVERS/$1.missing"
}

fetch() {
    have mvn || package maven || return 1
    mvn --quiet --batch-mode --file "$LISTS/$1.pom.xml" "$COPY" -DincludeScope=runtime "-DoutputDirectory=$work/$1" >"$log" 2>&1 || return 1
    (cd "$work/$1" && sha256sum --quiet --strict --check "$LISTS/$1.sha256") >"$log" 2>&1 || return 1
    # Whole or not at all, should two of these scripts run at once.
    rm -rf "$SERVERS/.$1.$$"
    mv "$work/$1" "$SERVERS/.$1.$$"
    rm -rf "${SERVERS:?}/$1"
    mv -T "$SERVERS/.$1.$$" "$SERVERS/$1" || return 1
}

rabbitmq
java_broker activemq
java_broker artemis
