"""Stage 2 as edits on the reshaped tree, one commit each: config crate and migrate; glossary and banned words; pages."""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lockfile
from layout import replace
from rustpaths import git, read, write

HERE = os.path.dirname(os.path.abspath(__file__)) + "/stage2/"


def copy(path):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    shutil.copy(HERE + path, path)


def commit(message):
    subprocess.run(["cargo", "fmt", "--all"], check=True)
    lockfile.write_members()
    git("add", "--all")
    git("commit", "-m", message)


def config():
    for file in ("Cargo.toml", "src/lib.rs", "src/words.rs", "src/old.rs", "src/migrate.rs", "src/command.rs"):
        copy("crates/config/" + file)
    replace("Cargo.toml", [
        ('"crates/files", ', '"crates/files", "crates/config", '),
        ('hashvfl-proto = { path = "proto" }\n',
         'hashvfl-config = { path = "crates/config" }\nhashvfl-proto = { path = "proto" }\n'),
    ])
    for role in ("party", "coordinator", "attack"):
        manifest = read(f"{role}/Cargo.toml")
        before = "hashvfl-coordinator.workspace = true\n" if role == "attack" else "hashvfl-core.workspace = true\n"
        at = manifest.index(before, manifest.index("[dependencies]"))
        write(f"{role}/Cargo.toml", manifest[:at] + "hashvfl-config.workspace = true\n" + manifest[at:])
        config_type = {"party": "PartyConfig", "coordinator": "CoordinatorConfig", "attack": "AttackConfig"}[role]
        text = read(f"{role}/src/config.rs")
        line = "        let mut config: Self = toml::from_str(text)"
        if text.count(line) != 1:
            raise SystemExit(f"{role}/src/config.rs: where is it parsed?")
        write(f"{role}/src/config.rs", text.replace(line, "        hashvfl_config::check_words(text)?;\n" + line))
    command = '''    /// Work on config files.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
'''
    for role in ("party", "coordinator", "attack"):
        path = f"{role}/src/cli.rs"
        text = read(path)
        at = text.index("enum Command {")
        end = text.index("\n}\n", at) + 1
        text = text[:end] + command + text[end:]
        if role == "attack":
            arm = "        Command::Config { command } => Ok(command.run()?),\n"
            where = text.index("        Command::Manifest {", text.index("fn carry_out"))
        else:
            arm = "        Some(Command::Config { command }) => Ok(command.run()?),\n"
            where = text.index("        None => {", text.index("match arguments.command {"))
        text = text[:where] + arm + text[where:]
        text = text.replace("use clap::{Parser, Subcommand};\n", "use clap::{Parser, Subcommand};\nuse hashvfl_config::ConfigCommand;\n", 1)
        write(path, text)
    # A handshake shows the key of the config file, not the wire's word of before.
    settings = "crates/core/src/settings.rs"
    replace(settings, [
        ('''    /// The settings as canonical pairs: sorted keys, shortest exact numbers.
''', '''    /// The settings as canonical pairs: sorted keys, shortest exact numbers. Both sides digest the pairs, so their keys
    /// stay what they were when config files got other words ([`CONFIG_WORDS`]).
'''),
        ('''            key: key.clone(),
''', '''            key: CONFIG_WORDS.iter().find(|(wire, _)| wire == key).map_or(key.as_str(), |(_, word)| word).to_string(),
'''),
        ('''/// The first key on which two sides' settings differ.
''', '''/// Keys of the canonical pairs that config files write otherwise.
const CONFIG_WORDS: [(&str, &str); 4] = [
    ("run.test_share", "run.test_fraction"),
    ("run.validation_share", "run.validation_fraction"),
    ("run.cohort_share", "run.cohort_fraction"),
    ("run.calibration_share", "run.calibration_fraction"),
];

/// The first key on which two sides' settings differ.
'''),
        ('''    /// The key.
    pub key: String,
''', '''    /// The key, as config files write it.
    pub key: String,
'''),
        ('''        let absent = ours.difference(&Settings::default()).unwrap();
''', '''        let theirs = RunSettings { cohort_fraction: 0.5, ..settings() }.to_settings();
        assert_eq!(ours.difference(&theirs).unwrap().key, "run.cohort_fraction");
        let absent = ours.difference(&Settings::default()).unwrap();
'''),
        ('''    #[test]
    fn ranges_are_checked() {''', '''    #[test]
    fn the_keys_that_peers_digest_are_what_they_were() {
        let keys: Vec<String> = settings().to_settings().pairs().map(|(key, _)| key.to_string()).collect();
        let expected = [
            "batch_rows", "bits", "calibration_share", "cohort_share", "cycles", "epochs", "gradient", "gradient_noise",
            "learning_rate", "on_refusal", "parties", "party_dropout", "randomised_response", "refit", "row_order",
            "schedule", "seed", "task", "test_share", "validation_share",
        ];
        assert_eq!(keys, expected.map(|key| format!("run.{key}")));
    }

    #[test]
    fn ranges_are_checked() {'''),
    ])
    for file in ("federation/migrated.rs", "before/party.toml", "before/coordinator.toml", "before/attack.toml"):
        copy("tests/" + file)
    manifest = read("tests/Cargo.toml")
    at = manifest.index("[dev-dependencies]")
    dev = manifest[at:]
    for name, after in (("config", "attack"), ("coordinator", "config"), ("party", "learning")):
        dev = dev.replace(f"hashvfl-{after}.workspace = true\n", f"hashvfl-{after}.workspace = true\nhashvfl-{name}.workspace = true\n")
    write("tests/Cargo.toml", manifest[:at] + dev)
    main = read("tests/federation/main.rs")
    write("tests/federation/main.rs", main.replace("mod misconfigured;\n", "mod migrated;\nmod misconfigured;\n"))
    replace("docs/config.md", [(
        "- An unknown key is an error, so is a key in the wrong table.\n",
        "- An unknown key is an error, so is a key in the wrong table.\n"
        "- A key or word that had another name before is an error that says the new one. `party config migrate OLD NEW`,\n"
        "  `coordinator config migrate OLD NEW` and `attack config migrate OLD NEW` write a config file anew with today's words;\n"
        "  comments and layout stay.\n",
    )])
    commit("Config files with words of before are refused with the new word, and `config migrate` rewrites them\n\n"
           "One table of renamed keys and detectors serves all three roles. The wire's keys stay as they were, since both\n"
           "sides digest them; a handshake that fails names the key as config files write it.")


def words():
    copy("docs/glossary.md")
    copy("tests/architecture/words.rs")
    write("tests/architecture/main.rs", read("tests/architecture/main.rs").replace("mod dependencies;\n", "mod dependencies;\nmod words;\n"))
    commit("A glossary of one word for each thing, and a test that keeps the words of before out of the code")


def main():
    stages = {"config": config, "words": words}
    for name in sys.argv[1:] or stages:
        stages[name]()


main()
