"""Writes an OCI image of one layer: a binary, the libraries it links if it does, /data and /tmp.

    image.py OUT ARCHITECTURE VERSION REVISION BINARY [LIBRARY...]

The archive is an OCI image layout; `manifest.json` makes it one that `docker load` of any age reads too. Dates are SOURCE_DATE_EPOCH.
host/packaging/Dockerfile builds the same image from source.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
USER = 65532


def entry(archive, name, content=None, mode=0o755, user=0):
    """Adds a file, or a directory where there is no content."""
    info = tarfile.TarInfo(name)
    info.mtime, info.mode, info.uid, info.gid = EPOCH, mode, user, user
    if content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def layer(binary, libraries):
    files = {library.lstrip("/"): library for library in libraries}
    files["usr/bin/hookwright"] = binary
    # Add parent directories first, so that they get a mode.
    parents = {"/".join(parts[:count]) for name in files if (parts := name.split("/")) for count in range(1, len(parts))}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry(archive, "data", mode=0o700, user=USER)
        entry(archive, "tmp", mode=0o1777)
        for parent in sorted(parents):
            entry(archive, parent)
        for name, path in sorted(files.items()):
            with open(path, "rb") as file:
                entry(archive, name, file.read())
    return out.getvalue()


def main(out, architecture, version, revision, binary, *libraries):
    blobs = {}

    def blob(content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(value, media_type):
        return blob(json.dumps(value, sort_keys=True).encode(), media_type)

    created = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    plain = layer(binary, libraries)
    # The header of the compressed layer has no name and no date, so that the bytes are always the same.
    packed = blob(gzip.compress(plain, compresslevel=6, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
    labels = {
        "org.opencontainers.image.title": "hookwright",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    config = document(
        {
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": f"{USER}:{USER}",
                "ExposedPorts": {"8400/tcp": {}},
                "Env": ["PATH=/usr/bin", "HOOKWRIGHT_DATA=/data", "HOOKWRIGHT_LISTEN=0.0.0.0:8400"],
                "Entrypoint": ["/usr/bin/hookwright"],
                "Cmd": ["serve"],
                "Volumes": {"/data": {}},
                "StopSignal": "SIGTERM",
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
            "history": [{"created": created, "created_by": "hookwright's .ci/release"}],
        },
        "application/vnd.oci.image.config.v1+json",
    )
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = document(
        {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [packed], "annotations": labels}, manifest_type
    )
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": f"docker.io/library/hookwright:{version}"}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}

    def path(descriptor):
        return "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")

    for_docker = [{"Config": path(config), "RepoTags": [f"hookwright:{version}"], "Layers": [path(packed)]}]
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as archive:
        entry(archive, "blobs")
        entry(archive, "blobs/sha256")
        for digest, content in sorted(blobs.items()):
            entry(archive, f"blobs/sha256/{digest}", content, 0o644)
        entry(archive, "index.json", json.dumps(index, sort_keys=True).encode(), 0o644)
        entry(archive, "manifest.json", json.dumps(for_docker, sort_keys=True).encode(), 0o644)
        entry(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)


main(*sys.argv[1:])
