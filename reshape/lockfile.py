"""Cargo.lock's entries of the workspace's own packages, from their manifests: `cargo update` would wait for every build."""

import re
import tomllib

from rustpaths import git, read, write


def write_members():
    text = read("Cargo.lock")
    head, *entries = re.split(r"(?=^\[\[package\]\]$)", text, flags=re.M)
    ours = [entry for entry in entries if 'name = "hashvfl-' in entry]
    spelt = {}
    for entry in ours:
        for name in re.findall(r'^ "([^"]+)",$', entry, re.M):
            spelt[name.split()[0]] = name
    others = [entry for entry in entries if entry not in ours]
    made = []
    for member in tomllib.loads(read("Cargo.toml"))["workspace"]["members"]:
        manifest = tomllib.loads(read(f"{member}/Cargo.toml"))
        names = set(manifest.get("dependencies", {})) | set(manifest.get("dev-dependencies", {}))
        lines = "".join(f' "{spelt.get(name, name)}",\n' for name in sorted(names))
        made.append(f'[[package]]\nname = "{manifest["package"]["name"]}"\nversion = "0.1.0"\n'
                    f"dependencies = [\n{lines}]\n\n")
    name = lambda entry: re.search(r'name = "([^"]+)"', entry).group(1)
    entries = sorted((entry.rstrip("\n") + "\n\n" for entry in others + made), key=name)
    write("Cargo.lock", (head + "".join(entries)).rstrip("\n") + "\n")
