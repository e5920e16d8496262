#!/usr/bin/env python3
"""Reshapes a checkout of HashVFL in the current folder: folders first, then words.

    cd CHECKOUT && python3 reshape/reshape.py

Run it on a clean tree and commit what it makes. It stops with a message where a target name is taken.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import layout
import lockfile
import words


def main():
    if subprocess.run(["git", "diff", "--quiet", "HEAD"]).returncode != 0:
        raise SystemExit("the tree has changes that are not committed")
    stage = sys.argv[1] if len(sys.argv) > 1 else "all"
    if stage in ("all", "folders"):
        layout.apply()
    if stage in ("all", "words"):
        words.apply()
    subprocess.run(["cargo", "fmt", "--all"], check=True)
    lockfile.write_members()
    subprocess.run(["git", "add", "--all"], check=True)


main()
