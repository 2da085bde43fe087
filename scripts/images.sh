#!/bin/sh
# Makes the images of both programs: archives in target/image, and with docker or podman also images
# in its store. PROGRAMS is where the programs are (target/release).
set -eu
cd "$(dirname "$0")/.."
programs=${PROGRAMS:-target/release}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
# one whose daemon answers: a client alone builds nothing
engine=
for candidate in docker podman; do
  if [ -z "$engine" ] && "$candidate" info >/dev/null 2>&1; then engine=$candidate; fi
done
for program in sse-relay sse-relay-operator; do
  mkdir -p target/image
  python3 scripts/image.py "$program:$version" "$programs/$program" "target/image/$program.tar"
  python3 scripts/image.py --root "target/image/$program" "$programs/$program"
  echo "target/image/$program.tar holds $program:$version for $(uname -m)"
  if [ -n "$engine" ]; then
    "$engine" build --quiet --target "$program" --tag "$program:$version" .
  fi
done
if [ -z "$engine" ]; then
  echo "No docker or podman answers here, so nothing was built from the Dockerfile; the archives hold the same files."
fi
echo "The other architecture needs a machine of its own (or one that emulates it): run make image there."
