#!/usr/bin/env python3
"""Makes an image archive of one program, without a container engine and without a base image.

    image.py NAME PROGRAM OUT.tar [PATH]    an archive that containerd and docker load
    image.py --root DIR PROGRAM             only the files, for a Dockerfile to copy onto an empty base

PATH is where the program is in the image; /PROGRAM, unless it is given.

In the image are the program, the shared libraries that it is linked with, the system's certificate
authorities, and a user that is not root. The same input gives the same bytes. The image is for the
machine that the program is for: amd64 or arm64.
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
import tempfile

USER = "65532"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# What an ELF header calls a machine -> what images call it, and what Debian's cross compilers do.
MACHINES = {62: ("amd64", "x86_64-linux-gnu"), 183: ("arm64", "aarch64-linux-gnu")}
HERE = {"x86_64": "amd64", "aarch64": "arm64"}


def machine(program):
    with open(program, "rb") as file:
        header = file.read(20)
    number = int.from_bytes(header[18:20], "little")
    if header[:4] != b"\x7fELF" or number not in MACHINES:
        sys.exit(f"{program} is no program for amd64 or arm64")
    return MACHINES[number]


def linked_here(program):
    """The libraries of a program that runs on this machine, as it finds them."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True)
    return {library: library for library in re.findall(r"(/\S+) \(0x", linked.stdout)}


def linked_elsewhere(program, tools):
    """The libraries of a program for another machine, by name: in the image they are in /lib."""
    folder = f"/usr/{tools}/lib"
    found, asked = {}, [program]
    while asked:
        read = subprocess.run(["readelf", "--wide", "-l", "-d", asked.pop()], capture_output=True, text=True)
        names = re.findall(r"\(NEEDED\).*\[(.+)\]", read.stdout)
        names += [os.path.basename(path) for path in re.findall(r"program interpreter: (.+)\]", read.stdout)]
        for name in names:
            library = os.path.join(folder, name)
            if "/lib/" + name not in found:
                if not os.path.exists(library):
                    sys.exit(f"{library} is missing; {program} needs it (Debian: gcc-{tools.replace('_', '-')})")
                found["/lib/" + name] = library
                asked.append(library)
    return found


def stripped(program, tool):
    """The program without what only debuggers read, which is most of it. Names of functions stay."""
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run([tool, "--strip-debug", "-o", copy.name, program], check=True)
        return read(copy.name)


def contents(program, path):
    """Path in the image -> path here, or bytes."""
    architecture, tools = machine(program)
    if architecture == HERE.get(platform.machine()):
        files, tool = linked_here(program), "strip"
    else:
        files, tool = linked_elsewhere(program, tools), tools + "-strip"
    files[path] = stripped(program, tool)
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
        "architecture": machine(program)[0],
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
