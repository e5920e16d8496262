"""The folders: what stands where, manifests, and paths in texts."""

import os
import re
import tomllib

import rustpaths
from maps import CRATES
from rustpaths import git, read, write

LIBRARIES = ["core", "files", "ledger", "alignment", "learning", "data", "transcript", "detectors"]
BENCHES = ["abnormal", "accuracy", "hijack", "predict", "privacy", "speed", "tables"]
TESTBED = ["dataset", "digits", "federation", "numpy", "processes", "simulation", "lib"]

PACKAGE = """\
[package]
name = "hashvfl-{name}"
description = "{description}"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true
{more}
[lints]
workspace = true
"""


def manifest(name, description, dependencies, dev=(), more="", targets=""):
    text = PACKAGE.format(name=name, description=description, more=more) + targets
    text += "\n[dependencies]\n" + "".join(f"{d}.workspace = true\n" for d in sorted(dependencies))
    if dev:
        text += "\n[dev-dependencies]\n" + "".join(f"{d}.workspace = true\n" for d in sorted(dev))
    return text


def named_in(folder):
    """The workspace's dependencies that the sources of a package name."""
    listed = tomllib.loads(read("Cargo.toml"))["workspace"]["dependencies"]
    files = [f for f in text_files() if f.startswith(folder + "/") and f.endswith(".rs")]
    text = "".join(read(f) for f in files)
    return [name for name in listed if re.search(rf"(?<![\w:]){name.replace('-', '_')}::", text)]


def move(old, new):
    os.makedirs(os.path.dirname(new), exist_ok=True)
    git("mv", old, new)


def folders():
    for name in LIBRARIES:
        move(name, f"crates/{name}")
    for name in TESTBED:
        move(f"examples/src/{name}.rs", f"crates/testbed/src/{name}.rs")
    for name in BENCHES:
        move(f"examples/src/bin/{name}", f"benches/src/bin/{name}")
    move("examples/python", "benches/python")
    move("crates/alignment/benches/openmined.py", "benches/python/openmined.py")
    move("crates/data/benches/read_csv.py", "benches/python/read_csv.py")
    move("crates/core/examples/watch.rs", "benches/src/bin/gradient_monitor.rs")
    move("crates/data/examples/cache.rs", "benches/src/bin/table_cache.rs")
    move("crates/ledger/examples/million.rs", "benches/src/bin/ledger.rs")
    move("crates/alignment/examples/align.rs", "benches/src/bin/alignment.rs")
    move("examples/tests/abnormal.rs", "benches/tests/abnormal.rs")
    move("examples/tests/architecture.rs", "tests/architecture/dependencies.rs")
    move("examples/tests/federation", "tests/federation")


def manifests():
    text = read("Cargo.toml")
    members = re.search(r"^members = .*$", text, re.M).group(0)
    for name in LIBRARIES:
        members = members.replace(f'"{name}"', f'"crates/{name}"')
        text = text.replace(f'path = "{name}"', f'path = "crates/{name}"')
    members = members.replace('"examples"', '"crates/testbed", "examples", "benches", "tests"')
    text = re.sub(r"^members = .*$", members, text, flags=re.M)
    text = text.replace(
        'hashvfl-attack = { path = "attack" }\n',
        'hashvfl-attack = { path = "attack" }\nhashvfl-testbed = { path = "crates/testbed" }\n',
    )
    write("Cargo.toml", text)

    write("crates/testbed/Cargo.toml", manifest(
        "testbed",
        "Whole federations for the demo, tests and benchmarks: as processes, and simulated in one",
        named_in("crates/testbed"),
    ))
    write("examples/Cargo.toml", manifest(
        "examples",
        "Runnable examples of HashVFL; the demo is the workspace's default binary",
        named_in("examples"),
        more='default-run = "demo"\n',
    ))
    write("benches/Cargo.toml", manifest(
        "benches",
        "Programs that measure HashVFL: accuracy, speed, privacy, detectors; docs/benchmarks.md has the figures",
        named_in("benches"),
    ))
    write("tests/Cargo.toml", manifest(
        "tests",
        "Tests of whole federations, and of the architecture",
        ["hashvfl-testbed"],
        [name for name in named_in("tests") if name != "hashvfl-testbed"],
        targets="""
# Cargo tells tests only where the binaries of their own package are. So this one plays every role by the same `entry`
# that the installed binaries call, and is linked once where three would be linked.
[[bin]]
name = "roles"
path = "roles.rs"
test = false

[[test]]
name = "federation"
path = "federation/main.rs"

[[test]]
name = "architecture"
path = "architecture/main.rs"
""",
    ))
    write("tests/roles.rs", """\
//! Every role of a federation in one binary, for the tests in this package: `roles party ...`, `roles coordinator ...`.

use std::process::ExitCode;

use hashvfl_testbed::processes;

fn main() -> ExitCode {
    processes::play_role().unwrap_or_else(|| {
        eprintln!("error: the first argument is a role: party or coordinator");
        ExitCode::FAILURE
    })
}
""")
    write("tests/architecture/main.rs", """\
//! What ARCHITECTURE.md promises, read from the sources.

mod dependencies;
""")
    for name in ("alignment", "core", "data", "ledger"):
        path = f"crates/{name}/Cargo.toml"
        if "[[example]]" in read(path):
            raise SystemExit(f"{path} names an example")


TEXTS = [
    (r"\bexamples/tests/federation\b", "tests/federation"),
    (r"\bexamples/tests/architecture\.rs", "tests/architecture"),
    (r"\bexamples/tests/abnormal\.rs", "benches/tests/abnormal.rs"),
    (r"\bexamples/python/", "benches/python/"),
    (r"\balignment/benches/openmined\.py", "benches/python/openmined.py"),
    (r"\bdata/benches/read_csv\.py", "benches/python/read_csv.py"),
    (r"(?<![/\w])data/cluster(?![\w\"])", "crates/data/cluster"),
    (r"(?<![/\w])(ledger|learning|core|data|alignment|transcript|detectors)/tests/(?=\w+(\.rs|/))", r"crates/\1/tests/"),
    (r"-p hashvfl-examples --bin (?!demo)", "-p hashvfl-benches --bin "),
    (r"--release --bin (hijack|accuracy|abnormal)\b", r"--release -p hashvfl-benches --bin \1"),
    (r"-p hashvfl-ledger --example million", "-p hashvfl-benches --bin ledger"),
    (r"-p hashvfl-core --example watch", "-p hashvfl-benches --bin gradient_monitor"),
    (r"-p hashvfl-data --example cache", "-p hashvfl-benches --bin table_cache"),
    (r"-p hashvfl-alignment --example align", "-p hashvfl-benches --bin alignment"),
    (r"`--example align -- run`", "`--bin alignment -- run`"),
    (r"-p hashvfl-examples --test federation", "-p hashvfl-tests --test federation"),
    (r"-p hashvfl-examples --test architecture", "-p hashvfl-tests --test architecture"),
    (r"\bhashvfl_examples\b", "hashvfl_testbed"),
    (r'CARGO_BIN_EXE_demo', "CARGO_BIN_EXE_roles"),
]


def texts():
    for file in text_files():
        text = read(file)
        changed = text
        for pattern, replacement in TEXTS:
            changed = re.sub(pattern, replacement, changed)
        if file.endswith(".rs"):
            def relative(match):
                return f'include_str!("{os.path.relpath(match.group(1), os.path.dirname(file))}")'
            changed = re.sub(r'include_str!\("(?:\.\./)+(docs/[^"]+)"\)', relative, changed)
        if changed != text:
            write(file, changed)
    replace("tests/architecture/dependencies.rs", [
        ('"../core/src"', '"../crates/core/src"'),
        ('dependencies("core")', 'dependencies("crates/core")'),
        ('["learning", "attack"]', '["crates/learning", "attack"]'),
        ('["proto", "data", "party", "coordinator"]', '["proto", "crates/data", "party", "coordinator"]'),
    ])
    replace("crates/data/tests/real_data.rs", [('"../../shared/data"', '"../../../shared/data"')])
    replace("crates/testbed/src/lib.rs", [(
        "//! What the stories in `src/bin` share: a federation of processes, and the same course in one process.",
        "//! What the demo, tests and benchmarks share: data sets, a federation of processes, and the same training in one\n"
        "//! process.",
    )])


def replace(file, pairs):
    text = read(file)
    for old, new in pairs:
        if old not in text:
            raise SystemExit(f"{file}: no {old!r}")
        text = text.replace(old, new)
    write(file, text)


def text_files():
    kinds = (".rs", ".toml", ".md", ".yml", ".py", ".txt", ".css")
    names = git("ls-files").split("\n") + git("ls-files", "--others", "--exclude-standard").split("\n")
    return sorted({
        name for name in names
        if name and os.path.exists(name) and "/generated/" not in name
        and (name.endswith(kinds) or name.startswith(".ci/") or os.path.basename(name) == "Dockerfile")
    })


def page_paths():
    """Short paths of modules in pages and comments: `core::left_out` is `core::records::excluded` now."""
    crates = {crate.name: crate for crate in CRATES}
    pattern = re.compile(r"(?<![\w:])(" + "|".join(crates) + r")((?:::[a-z_]\w*)+)")

    def swap(match):
        path = tuple(match.group(2).split("::")[1:])
        target = crates[match.group(1)].map_path(path)
        return "::".join((match.group(1),) + target)

    for file in text_files():
        if not file.endswith((".md", ".rs")) or file == "CHANGELOG.md":
            continue
        text = read(file)
        ticked = re.compile(r"`[^`\n]+`")
        if file.endswith(".md"):
            changed = ticked.sub(lambda match: pattern.sub(swap, match.group(0)), text)
        else:
            comment = re.compile(r"^\s*//[^\n]*$", re.M)
            in_comment = lambda match: ticked.sub(lambda tick: pattern.sub(swap, tick.group(0)), match.group(0))
            changed = comment.sub(in_comment, text)
        if changed != text:
            write(file, changed)


def apply():
    folders()
    git("add", "--all")
    texts()
    manifests()
    git("add", "--all")
    plans = rustpaths.move_modules(CRATES)
    rustpaths.carry_out(plans, CRATES)
    for role in ("party", "coordinator"):
        move(f"{role}/src/init.toml", f"{role}/src/commands/init.toml")
    git("add", "--all")
    own = set()
    for crate in CRATES:
        own.update(crate.new_file(new) for new in crate.new_modules)
        own.update(f for f in git("ls-files", crate.new_root + "/src").split() if f.endswith("_tests.rs"))
    others = [f for f in text_files() if f.endswith(".rs") and f not in own]
    rustpaths.rewrite_elsewhere(CRATES, others)
    page_paths()
    print(f"folders: {len(others)} files beside the libraries")
