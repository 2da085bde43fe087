#!/usr/bin/env python3
"""Makes an image archive of one program, without a container engine and without a base image.

    image.py NAME PROGRAM OUT.tar [PATH]    an archive that containerd and docker load
    image.py --root DIR PROGRAM             only the files, for a Dockerfile to copy onto an empty base

PATH is where the program is in the image; /PROGRAM, unless it is given.

In the image are the program, the shared libraries that it is linked with, the system's certificate
authorities, and a user that is not root. The same input gives the same bytes.
"""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile

USER = "65532"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def contents(program, path):
    """Path in the image -> path here, or bytes."""
    files = {path: program}
    linked = subprocess.run(["ldd", program], capture_output=True, text=True)
    for library in re.findall(r"(/\S+) \(0x", linked.stdout):
        files[library] = library
    if os.path.exists(AUTHORITIES):
        files[AUTHORITIES] = AUTHORITIES
    files["/etc/passwd"] = f"relay:x:{USER}:{USER}::/:\n".encode()
    return files


def read(source):
    if isinstance(source, bytes):
        return source
    with open(os.path.realpath(source), "rb") as file:
        return file.read()


def put(archive, path, data, mode=0o644):
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def layer(program, path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file, source in sorted(contents(program, path).items()):
            put(archive, file, read(source), 0o644 if file.startswith("/etc/") else 0o755)
    return buffer.getvalue()


def entry(program):
    return "/" + os.path.basename(program)


def image(name, program, out, path=None):
    path = path or entry(program)
    files = layer(program, path)
    digest = lambda data: hashlib.sha256(data).hexdigest()
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"User": f"{USER}:{USER}", "Entrypoint": [path], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(files)]},
    }
    config = json.dumps(config, sort_keys=True).encode()
    manifest = [{"Config": digest(config) + ".json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(out, "w") as archive:
        put(archive, digest(config) + ".json", config)
        put(archive, "layer.tar", files)
        put(archive, "manifest.json", json.dumps(manifest).encode())


def root(directory, program):
    shutil.rmtree(directory, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(layer(program, entry(program)))) as archive:
        archive.extractall(directory)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    if sys.argv[1] == "--root":
        root(*sys.argv[2:])
    else:
        image(*sys.argv[1:])
