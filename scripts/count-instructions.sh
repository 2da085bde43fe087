#!/bin/sh
# Counts the instructions that a publish and its deliveries take in user space: the release build under
# callgrind, with few and with many publishes; the difference is theirs alone. No privileges, no times.
# The kernel's are not counted, nor are those of processors' extensions that valgrind does not know.
#
#   scripts/count-instructions.sh [STREAMS]       streams that get each event [5]
set -eu
cd "$(dirname "$0")/.."
STREAMS="${1:-5}"
RATE=100
FEW=1
MANY=11
TARGET="${CARGO_TARGET_DIR:-target}/release"

command -v valgrind >/dev/null 2>&1 || {
    echo "count-instructions: valgrind is missing (Debian: apt-get install valgrind)" >&2
    exit 1
}
[ -x "$TARGET/sse-relay" ] && [ -x "$TARGET/relay-bench" ] || {
    echo "count-instructions: build first: cargo build --release --package relay-bench --package sse-relay" >&2
    exit 1
}

work=$(mktemp -d)
relay=
trap '[ -z "$relay" ] || kill "$relay" 2>/dev/null || true; rm -rf "$work"' EXIT

# Seconds of publishing; prints instructions of the whole process.
count() {
    valgrind --tool=callgrind --callgrind-out-file="$work/out" --log-file="$work/valgrind" \
        "$TARGET/sse-relay" serve --listen=127.0.0.1:0 --admin-listen=127.0.0.1:0 >"$work/log" 2>&1 &
    relay=$!
    address=
    while [ -z "$address" ]; do
        kill -0 "$relay" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        address=$(sed -n 's/.*relay.started .* listen=\([0-9.:]*\) .*/\1/p' "$work/log" | head -n 1)
        sleep 0.2
    done
    "$TARGET/relay-bench" load --base "http://$address" --streams "$STREAMS" --rate "$RATE" --seconds "$1" \
        >"$work/load" 2>&1 || { cat "$work/load" >&2; exit 1; }
    kill "$relay"
    wait "$relay" || true
    relay=
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/valgrind"
}

few=$(count "$FEW")
many=$(count "$MANY")
publishes=$((RATE * (MANY - FEW)))
echo "instructions of a publish with $STREAMS deliveries: $(((many - few) / publishes))"
