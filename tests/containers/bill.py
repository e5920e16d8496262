"""Checks a bill of materials: bill.py FILE. It is JSON, and names crates and Debian packages with their versions."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    bill = json.load(file)
assert bill["bomFormat"] == "CycloneDX", bill["bomFormat"]
names = {component["name"] for component in bill["components"]}
wanted = {"hashvfl-party", "hashvfl-coordinator", "tonic", "burn", "libc6", "libgcc-s1", "ca-certificates"}
assert wanted <= names, f"missing: {wanted - names}"
assert all(component["version"] for component in bill["components"])
print(f"   bill of materials: {len(bill['components'])} components")
