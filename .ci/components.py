"""Lists the third-party components of the binary, in CycloneDX's format, and the texts of their licences.

    components.py FOLDER VERSION TARGET

Writes FOLDER/sbom.cdx.json and FOLDER/LICENSES-third-party.txt. The binary contains the crates of the host for TARGET, those of the
plugins and of the script engine (embedded as WebAssembly), Rust's standard library and, for a musl TARGET, the C library.
Crates that are only used to build or test are not listed.
"""

import glob
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid

OURS = "Apache-2.0"
WASM = "wasm32-wasip1"
SCRIPT_ENGINE = "plugins/script-engine"
LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates_of(part, target, manifest="Cargo.toml", packages=()):
    """Yields (id, part) for each crate that is linked into `packages`. `cargo tree` says what their features need, `cargo metadata` does not."""
    arguments = [argument for package in packages for argument in ("--package", package)]
    tree = output(
        "cargo", "tree", "--locked", "--manifest-path", manifest, *arguments, "--target", target, "--edges", "normal",
        "--prefix", "none", "--format", "{p}", "--no-dedupe",
    )
    for line in tree.splitlines():
        if line:
            name, version = line.split(" ")[:2]
            yield (name, version.removeprefix("v")), part


def metadata(manifest):
    """By name and version: a workspace's packages, the checksums of its lock file, and what each package needs."""
    found = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", manifest))
    with open(os.path.join(os.path.dirname(manifest), "Cargo.lock"), "rb") as lock:
        checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in tomllib.load(lock)["package"]}
    by_id = {package["id"]: (package["name"], package["version"]) for package in found["packages"]}
    needs = {by_id[node["id"]]: {by_id[dependency] for dependency in node["dependencies"]} for node in found["resolve"]["nodes"]}
    packages = {(package["name"], package["version"]): package for package in found["packages"]}
    return packages, checksums, needs


def gathered(target):
    parts = {}
    plugins = [os.path.basename(os.path.dirname(path)) for path in sorted(glob.glob("plugins/*/Cargo.toml"))]
    plugins.remove(os.path.basename(SCRIPT_ENGINE))
    for crates in (
        crates_of("host", target, packages=["hookwright"]),
        crates_of("plugins", WASM, packages=plugins),
        crates_of("script engine", WASM, manifest=f"{SCRIPT_ENGINE}/Cargo.toml"),
    ):
        for crate, part in crates:
            parts.setdefault(crate, set()).add(part)
    packages, checksums, needs = metadata("Cargo.toml")
    for known, more in zip((packages, checksums, needs), metadata(f"{SCRIPT_ENGINE}/Cargo.toml")):
        for key, value in more.items():
            known.setdefault(key, value)
    return parts, packages, checksums, needs


def reference(crate):
    return f"pkg:cargo/{crate[0]}@{crate[1]}"


def component(crate, package, checksum, parts):
    said = {
        "type": "library",
        "bom-ref": reference(crate),
        "name": crate[0],
        "version": crate[1],
        "purl": reference(crate),
        "properties": [{"name": "hookwright:part", "value": part} for part in sorted(parts)],
    }
    if package["description"]:
        said["description"] = " ".join(package["description"].split())
    if package["license"]:
        # Cargo once accepted a slash for `OR`.
        said["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    if checksum:
        said["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        said["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return said


def bill(version, parts, packages, checksums, needs, others):
    crates = sorted(crate for crate in parts if packages[crate]["source"])
    ours = {crate for crate in parts if not packages[crate]["source"]}
    root = f"hookwright@{version}"
    direct = {reference(need) for crate in ours for need in needs[crate] if need in parts and need not in ours}
    dependencies = [{"ref": root, "dependsOn": sorted(direct | {other["bom-ref"] for other in others})}]
    dependencies += [{"ref": reference(crate), "dependsOn": sorted(reference(need) for need in needs[crate] if need in crates)} for crate in crates]
    said = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": root, "name": "hookwright", "version": version, "licenses": [{"expression": OURS}],
            }
        },
        "components": [component(crate, packages[crate], checksums[crate], parts[crate]) for crate in crates] + others,
        "dependencies": dependencies,
    }
    # The same content always gets the same serial number.
    said["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(said, sort_keys=True))}"
    return said


def texts_of(place):
    """The licence files of a crate, and of third-party code in its folders."""
    found = [place] if os.path.isfile(place) else sorted(glob.glob(f"{place}/*") + glob.glob(f"{place}/*/*"))
    for path in found:
        if os.path.isfile(path) and (path == place or LICENCE_FILE.match(os.path.basename(path))):
            with open(path, encoding="utf-8", errors="replace") as text:
                yield text.read().strip()


def licences(works):
    """Writes each text once for all works that share it. A work without a text is listed with its stated licence and authors."""
    by_text, without = {}, []
    for name, stated, place in works:
        texts = list(texts_of(place))
        for text in texts:
            by_text.setdefault(text, []).append(name)
        if not texts:
            without.append(f"{name}: {stated}")
    yield "Hookwright is under the Apache License 2.0 (LICENSE). It contains the works of others, under these licences:\n"
    for text, names in sorted(by_text.items(), key=lambda both: both[1]):
        yield "=" * 100 + "\n" + "\n".join(dict.fromkeys(names)) + "\n" + "-" * 100 + "\n" + text + "\n"
    if without:
        yield "=" * 100 + "\nThese came without a file of their licence, which they state so:\n\n" + "\n".join(without) + "\n"


def work(crate, package):
    stated = ", ".join([package["license"] or "no licence", *package["authors"]])
    return " ".join(crate), stated, os.path.dirname(package["manifest_path"])


def main(folder, version, target):
    parts, packages, checksums, needs = gathered(target)
    rust = output("rustc", "--version").split()[1]
    sysroot = output("rustc", "--print", "sysroot").strip()
    others = [{"type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": rust, "licenses": [{"expression": "MIT OR Apache-2.0"}]}]
    crates = sorted(crate for crate in parts if packages[crate]["source"])
    works = [work(crate, packages[crate]) for crate in crates]
    works.append((f"Rust's standard library {rust}", "MIT OR Apache-2.0", f"{sysroot}/share/doc/rust/licenses/MIT.txt"))
    if "musl" in target:
        others.append({"type": "library", "bom-ref": "musl", "name": "musl", "licenses": [{"license": {"id": "MIT"}}]})
        works.append(("musl", "MIT", "host/packaging/LICENSE-musl"))
    with open(f"{folder}/sbom.cdx.json", "w", encoding="utf-8") as file:
        json.dump(bill(version, parts, packages, checksums, needs, others), file, indent=1, sort_keys=True)
        file.write("\n")
    with open(f"{folder}/LICENSES-third-party.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(licences(works)))


main(*sys.argv[1:])
