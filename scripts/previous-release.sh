#!/bin/sh
# Prints where the program of the release before this commit is: the newest tag vX.Y.Z that is an
# ancestor of it and not this commit itself. Builds it once, in target/previous/. Prints nothing
# when there is no such tag. The tests of mixed releases call it.
set -eu

cd "$(dirname "$0")/.."
head=$(git rev-parse HEAD 2>/dev/null) || exit 0
tag=
for candidate in $(git tag --merged "$head" --list 'v[0-9]*' --sort=-version:refname); do
    if [ "$(git rev-list -n 1 "$candidate")" != "$head" ]; then
        tag=$candidate
        break
    fi
done
[ -n "$tag" ] || exit 0

place="$PWD/target/previous/$tag"
program="$place/target/release/sse-relay"
if [ ! -x "$program" ]; then
    mkdir -p "$place/source"
    git archive "$tag" | tar -x -C "$place/source"
    (
        cd "$place/source"
        # this release's build must not share its output with that one
        CARGO_TARGET_DIR="$place/target" cargo build --release --locked --package sse-relay >&2
    )
fi
echo "$program"
