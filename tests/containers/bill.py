"""Checks the bill of materials of programs without SQL: bill.py FILE [--crates]. It is JSON, and names crates and Debian
packages with their versions; with --crates, no packages.
"""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    bill = json.load(file)
assert bill["bomFormat"] == "CycloneDX", bill["bomFormat"]
names = {component["name"] for component in bill["components"]}
wanted = {"hashvfl-party", "hashvfl-coordinator", "hashvfl-attack", "tonic", "burn", "opentelemetry"}
packages = {"libc6", "libgcc-s1", "ca-certificates"}
if "--crates" in sys.argv:
    assert not packages & names, f"packages among the crates: {packages & names}"
else:
    wanted |= packages
assert wanted <= names, f"missing: {wanted - names}"
unbuilt = {name for name in names if name.startswith(("datafusion", "wgpu"))}
assert not unbuilt, f"named, though it is in no program: {unbuilt}"
assert all(component["version"] for component in bill["components"])
print(f"   bill of materials: {len(bill['components'])} components")
