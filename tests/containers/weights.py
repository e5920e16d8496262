"""Prints SHA-256 over all weights of a model file, in the order of their names: weights.py FILE."""

import hashlib
import json
import sys

with open(sys.argv[1], "rb") as file:
    content = file.read()
length = int.from_bytes(content[:8], "little")
header = json.loads(content[8 : 8 + length])
header.pop("__metadata__", None)
assert header, "no weights"
digest = hashlib.sha256()
for name in sorted(header):
    begin, end = header[name]["data_offsets"]
    digest.update(json.dumps([name, header[name]["dtype"], header[name]["shape"]]).encode())
    digest.update(content[8 + length + begin : 8 + length + end])
print(len(header), "tensors", digest.hexdigest())
