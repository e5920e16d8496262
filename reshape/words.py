"""The words: identifiers by scope, config keys, and phrases of docs. Strings and comments are kept apart from code."""

import fnmatch
import re

from layout import replace, text_files
from maps import CRATES
from rustpaths import parse_tree, read, write

# A character that stands in no file: what it follows keeps its name.
MARK = "\u200b"

# --- Rust text in segments -------------------------------------------------------------------------------------------

TOKEN = re.compile(
    r'//[^\n]*'                                   # comments
    r'|/\*.*?\*/'
    r'|b?r(#*)".*?"\1'                            # raw strings
    r'|b?"(?:[^"\\]|\\.)*"'                       # strings
    r"|b?'(?:[^'\\\n]|\\[^\n]{1,8}?)'",           # characters (lifetimes have no closing quote)
    re.S,
)


def segments(text):
    """(kind, text) of kind code, comment or string."""
    last = 0
    for match in TOKEN.finditer(text):
        if match.start() > last:
            yield "code", text[last:match.start()]
        piece = match.group(0)
        yield ("comment" if piece.startswith(("//", "/*")) else "string"), piece
        last = match.end()
    if last < len(text):
        yield "code", text[last:]


def code_only(text):
    return "".join(piece if kind == "code" else " " for kind, piece in segments(text))


def rename_in(text, names):
    """Identifiers in code, in backticks of comments, and where a format string names a variable."""
    pattern = re.compile(r"\b(" + "|".join(sorted(map(re.escape, names), key=len, reverse=True)) + r")\b(?!" + MARK + ")")
    swap = lambda match: names[match.group(1)]
    out = []
    for kind, piece in segments(text):
        if kind == "code":
            piece = pattern.sub(swap, piece)
        elif kind == "comment":
            piece = re.sub(r"`[^`\n]+`", lambda ticked: pattern.sub(swap, ticked.group(0)), piece)
        else:
            captured = re.compile(r"(?<!\{)\{(" + "|".join(map(re.escape, names)) + r")(?=[:}.])")
            piece = captured.sub(lambda match: "{" + names[match.group(1)], piece)
        out.append(piece)
    return "".join(out)


def matching(patterns, but=()):
    files = [f for f in text_files() if f.endswith(".rs")]
    hit = [f for f in files if any(fnmatch.fnmatch(f, p) for p in patterns)]
    hit = [f for f in hit if not any(fnmatch.fnmatch(f, p) for p in but)]
    if not hit:
        raise SystemExit(f"no file matches {patterns}")
    return hit


# Private types of the same meaning in two crates.
TWICE = {"OwnedRows", "AnomalyScorer", "RelayHub"}


def check_undefined(new):
    """One name, one meaning: no type may have the new name yet."""
    if not new[0].isupper() or new.isupper() or new in TWICE:
        return
    for file in text_files():
        if file.endswith(".rs") and re.search(rf"\b(?:struct|enum|trait|type) {new}\b", code_only(read(file))):
            raise SystemExit(f"{file} defines {new} already")


def rename(patterns, words, but=(), allow=()):
    """Renames within files; stops where a new name is already another identifier there."""
    names = {}
    for line in words.strip().splitlines():
        old, new = line.split()
        names[old] = new
    files = matching(patterns, but)
    texts = {f: read(f) for f in files}
    codes = {f: code_only(t) for f, t in texts.items()}
    for old, new in names.items():
        if not any(re.search(rf"\b{old}\b", code) for code in codes.values()):
            print(f"note: {old} (to {new}) is not in {patterns}")
        if new in allow or new in names:
            continue
        for f, code in codes.items():
            if re.search(rf"\b{old}\b", code) and re.search(rf"\b{new}\b", code):
                raise SystemExit(f"{f}: {old} cannot become {new}: that name is taken")
        check_undefined(new)
    for f, text in texts.items():
        changed = rename_in(text, names)
        if changed != text:
            write(f, changed)



def imports(file, text):
    """Every leaf of the use trees of a file, and every inline path from a crate on."""
    for match in re.finditer(r"^[ \t]*(?:pub(?:\([^)]*\))? )?use ([^;]+);", text, re.M):
        for path, alias in parse_tree(match.group(1)):
            yield path
    for match in re.finditer(r"\b((?:crate|hashvfl_\w+)(?:::\w+)+)", text):
        yield tuple(match.group(1).split("::"))


def crate_of(file):
    """Identifier of the library that a file is part of, "" for other files."""
    for crate in CRATES:
        if file.startswith(crate.new_root + "/src/"):
            return crate.ident
    return ""


def protect(text, ident):
    """Names that stand behind another crate's path stay: `hashvfl_other::Name`."""
    return re.sub(rf"\b(hashvfl_(?!{ident[8:]}\b)\w+(?:::\w+)*::)(\w+)", lambda match: re.sub(r"::(\w+)", r"::\1" + MARK, match.group(0)), text)


def parent_of_tests(file):
    """The module whose tests a file holds, where they stand in a file of their own."""
    if file.endswith("/tests.rs"):
        return file[: -len("tests.rs")] + "mod.rs"
    if file.endswith("_tests.rs"):
        return file[: -len("_tests.rs")] + ".rs"
    return None


def export(crate, home, words, allow=()):
    """Renames public types: in `home`, where they are defined, and in every file that imports them."""
    ident = "hashvfl_" + crate
    names = dict(line.split() for line in words.strip().splitlines())
    homes = set(matching([home]))
    files = [f for f in text_files() if f.endswith(".rs")]
    todo = {}
    for file in files:
        text = read(file)
        own = crate_of(file) == ident
        found = set(names) if file in homes else set()
        for path in imports(file, text):
            for at, segment in enumerate(path):
                if segment not in names or at == 0:
                    continue
                foreign = path[0].startswith("hashvfl_") or path[0] in ("std", "serde", "tonic", "tokio", "burn")
                if path[0] == ident or (own and not foreign):
                    found.add(segment)
        parent = parent_of_tests(file)
        if own and parent and "use super::*" in text:
            found |= set(names) if parent in homes else set()
            for path in imports(parent, read(parent)):
                found |= {segment for segment in path[1:] if segment in names and path[0] in ("crate", "super", ident)}
        found = {old for old in found if re.search(rf"\b{old}\b", code_only(text))}
        if found:
            todo[file] = (text, {old: names[old] for old in found})
    for new in names.values():
        check_undefined(new)
    for old in names:
        if not any(old in found for _, found in todo.values()):
            print(f"note: {crate}: nobody names {old}")
    for file, (text, found) in todo.items():
        code = code_only(text)
        for old, new in found.items():
            if new not in allow and re.search(rf"\b{new}\b", code):
                raise SystemExit(f"{file}: {old} cannot become {new}: that name is taken")
    for file, (text, found) in todo.items():
        renamed = rename_in(protect(text, ident), found)
        write(file, renamed.replace(MARK, ""))


def private_types():
    """Types of single files, which share a name with others."""
    rename(["crates/learning/src/bottom/embedded.rs"], "Rows TensorRows")
    rename(["coordinator/src/detectors/*"], "Rows OwnedRows")
    rename(["party/src/detectors.rs"], "Rows OwnedRows")
    rename(["crates/detectors/tests/coordinator.rs"], "Rows OwnedRows")
    rename(["crates/detectors/src/lib.rs"], "Rows Input")
    rename(["benches/src/bin/abnormal/kdd.rs"], "Rows RowRefs\nEncoding CategoryEncoding")
    rename(["benches/src/bin/abnormal/kdd.rs", "benches/src/bin/abnormal/main.rs"], "Found DetectorFigures")
    rename(["benches/src/bin/abnormal/*"], "Kind AnomalySet\nBench DetectorBenchmark")
    rename(["benches/src/bin/hijack/*"], "Bench Experiment\nSeen BatchView")
    rename(["benches/src/bin/hijack/sender.rs", "benches/src/bin/hijack/main.rs"], "Rows PerRow")
    rename(["crates/alignment/tests/protocol/*"], "Seen ComparerView\nLink RelayLink\nHub RelayHub")
    rename(["crates/data/src/source/sql/*"], "Records QueryRecords")
    rename(["coordinator/src/training/admission.rs"], "Door HandshakeContext\ndoor handshake\nat_door shared_handshake")
    rename(["coordinator/src/serving/*"], """
        Door PartyConnection
        door connection
        Link PartyStream
        link stream_task
        Present OpenStream
        Ask CodeRequest
        Answered CodeResponse
        Asked ResolvedIds
    """, but=["coordinator/src/serving/service.rs"])
    rename(["party/src/training/mod.rs"], "Link TrainingConnection\nlink connection")
    rename(["party/src/serving/mod.rs"], "Link ServingConnection\nlink connection")
    rename(["party/src/commands/align.rs"], "Link RelayConnection")
    rename(["party/src/commands/init.rs"], "left_out ignored_columns")
    rename(["attack/src/report/*"], "Block ResultGroup")


def public_types():
    export("core", "crates/core/src/records/plan.rs", "Rows RowSelection")
    export("core", "crates/core/src/records/excluded.rs", "LeftOut ExcludedRecords\nLeftOutError ExcludedRecordsError")
    export("core", "crates/core/src/gradient_monitor/mod.rs", "Watch GradientMonitor")
    rename(["*.rs"], """
        FromServer FromServingParty
        ToServer ToServingParty
        ServerError ServingPartyError
        ServerWork ServingWork
        ServerSession ServingPartySession
        LinkError ServingCoordinatorError
        LinkEvent ServingEvent
        LinkSession ServingCoordinatorSession
        Waits Timeouts
        LocalParty InProcessParty
        LocalParties InProcessParties
        CourseError TrainingError
        ScreenJudge ScreeningFn
        ScreenedAt ScreeningPoint
        Watchman GradientGuard
        Lobby AdmissionService
        Teller ProgressReporter
        Attackable AttackSurface
        Attacked AttackOutcome
    """)
    export("learning", "crates/learning/src/training/mod.rs", "Screen ScreeningHook")
    export("learning", "crates/learning/src/training/backend.rs", "Parties PartyBackend")
    # A variant of the same name is none of it.
    replace("crates/learning/src/training/mod.rs",
            [("TrainingError::PartyBackend", "TrainingError::Parties"), ("    PartyBackend(E),", "    Parties(E),")])
    export("learning", "crates/learning/src/threads.rs", "Own WorkerThread")
    export("learning", "crates/learning/src/top/self_distillation.rs", "Recall SelfDistillation")
    export("learning", "crates/learning/src/encoder.rs", "Cut CutLayer")
    export("learning", "crates/learning/src/top/predictor.rs", "Meaning OutputKind")
    export("transcript", "crates/transcript/src/rows.rs", "Rows RowGroup")
    export("transcript", "crates/transcript/src/lib.rs", "Kind RecordedKind\nEncoding ValueEncoding")
    export("transcript", "crates/transcript/src/header.rs", "Cut SentValues")
    export("ledger", "crates/ledger/src/flow.rs", "Kind FlowKind")
    export("ledger", "crates/ledger/src/account.rs", "Encoder EncoderIdentity")
    rename(["crates/data/src/encoding/preprocess.rs"], "Kind ColumnType")
    export("data", "crates/data/src/encoding/treatment.rs", "Kind ColumnType")
    export("data", "crates/data/src/labels/mod.rs", "Labels LabelTable")
    export("data", "crates/data/src/store/mod.rs", "Records RecordStore")
    export("detectors", "crates/detectors/src/rows.rs", "Seen CoordinatorRows\nLocal PartyRows")
    export("detectors", "crates/detectors/src/drift.rs", "Monitor DriftMonitor\nState DriftState")
    export("detectors", "crates/detectors/src/codes/dependence.rs", "Link TreeEdge")
    export("detectors", "crates/detectors/src/networks/labelled.rs", "Told GivenLabels")
    export("detectors", "crates/detectors/src/coordinator.rs", "Beside FitExtras")
    rename(["crates/detectors/*.rs", "coordinator/src/*", "benches/src/bin/abnormal/*", "tests/*", "benches/src/bin/predict/*"], """
        Distance HammingDistance
        Neighbours Knn
        Gaussians Mahalanobis
        Components Pca
        Mismatch DensityRatio
        Rarity ChowLiu
        Doubt LabelNoise
    """)
    export("coordinator", "coordinator/src/detectors/anomaly_scorer.rs", "Judge AnomalyScorer")
    export("coordinator", "coordinator/src/serving/known_codes.rs", "Known KnownCodes\nServed ServedEncoder")
    export("coordinator", "coordinator/src/relay.rs", "Hub RelayHub")
    export("coordinator", "coordinator/src/summary.rs", "Records RecordCounts")
    export("coordinator", "coordinator/src/training/network.rs", "Network NetworkedParties")
    export("party", "party/src/detectors.rs", "Judge AnomalyScorer")
    export("attack", "attack/src/evaluation/context.rs", "Scene AttackContext")
    export("attack", "attack/src/evaluation/victim.rs", "Bench VictimContext")
    export("attack", "attack/src/evidence/mod.rs", "Owner PartyData")
    export("attack", "attack/src/evidence/observed.rs", "Moment ObservedAt")
    export("attack", "attack/src/evidence/simulation.rs", "Repeat RunVariant")
    export("attack", "attack/src/report/pictures/label.rs", "Labels LabelPlacement")
    export("attack", "attack/src/reconstruction/regression/local.rs", "Local ConvolutionalRegression")
    export("attack", "attack/src/reconstruction/regression/network.rs", "Network MlpRegression")


def values():
    """Functions, fields and variables."""
    not_wire = ["proto/*"]
    rename(["*.rs"], """
        left_out excluded
        check_left_out check_excluded
        drawn_chunks synthetic_chunks
        DRAWN_CHUNKS SYNTHETIC_CHUNKS
        flagged_share flagged_fraction
        weight_share weighted_fraction
        worst_share worst_fraction
        over_share over_auxiliary_fraction
        log_share log_fraction
        is_share is_fraction
        expect_watch expect_monitoring
        frozen_scene frozen_context
        trained_scene trained_context
    """, but=not_wire, allow=("excluded",))
    rename(["benches/src/bin/abnormal/main.rs"], "bench benchmark")
    rename(["benches/src/bin/hijack/main.rs"], "bench experiment")
    rename(["benches/src/bin/predict/main.rs"], "bench measure")
    text = rename_in(read("proto/src/convert.rs"), {"left_out": "excluded"})
    text = text.replace("records.excluded", "records.left_out").replace("begin.excluded", "begin.left_out")
    text = re.sub(r"(v1::(?:Records|Begin) ?\{[^{}]*?)\bexcluded:", r"\1left_out:", text, flags=re.S)
    write("proto/src/convert.rs", text)
    for field, old in (("excluded", "left_out"), ("flagged_fraction", "flagged_share"), ("weighted_fraction", "weight_share")):
        replace("coordinator/src/summary.rs", [
            (f"    pub {field}:", f'    // The file\'s word of before.\n    #[serde(rename = "{old}")]\n    pub {field}:'),
        ])
    rename(["crates/core/src/protocol/*", "party/src/training/worker.rs", "coordinator/src/training/network.rs",
            "proto/src/convert.rs", "tests/federation/rogue.rs"], "Draw EncodeSynthetic")
    text = read("proto/src/convert.rs")
    write("proto/src/convert.rs", text.replace("Message::EncodeSynthetic", "Message::Draw").replace("v1::EncodeSynthetic", "v1::Draw").replace("v1::encode::RowSelection", "v1::encode::Rows"))
    rename(["crates/learning/src/training/*", "coordinator/src/training/network.rs", "attack/src/evidence/recorder.rs"],
           "draw encode_synthetic\ndrawn synthetic")
    rename(["coordinator/src/training/mod.rs", "coordinator/src/detectors/fit.rs", "crates/detectors/src/coordinator.rs",
            "crates/detectors/src/networks/density_ratio.rs", "benches/src/bin/abnormal/federation.rs",
            "benches/src/bin/abnormal/main.rs", "benches/src/bin/abnormal/scores.rs", "crates/detectors/tests/coordinator.rs"],
           "drawn synthetic")
    rename(["crates/learning/src/training/mod.rs"], "watch on_progress")
    replace("crates/learning/src/training/mod.rs", [("pub fn run<", "pub fn train<")])
    replace("coordinator/src/training/mod.rs", [("teller.course(", "teller.training_progress(")])
    rename(["coordinator/src/training/mod.rs"], "course trained\nlobby admission_service\nteller reporter")
    for file in matching(["*.rs"], but=["coordinator/src/cli.rs"]):
        text = read(file)
        if "training::run(" in text:
            write(file, text.replace("training::run(", "training::train("))
    for file in matching(["*.rs"]):
        text = read(file)
        if "learning::training::run`" in text:
            write(file, text.replace("learning::training::run`", "learning::training::train`"))
    rename(["coordinator/src/progress.rs"], "course training_progress")
    rename(["coordinator/src/serving/*", "coordinator/src/commands/*"], "teller reporter")
    rename(["coordinator/src/serving/*"], "judge scorer")
    rename(["party/src/releases.rs", "party/src/answer.rs", "party/src/serving/*"], "judge scorer")
    for file in matching(["coordinator/src/serving/*", "party/src/serving/*", "party/src/answer.rs"]):
        text = read(file)
        if "scorer.scorer(" in text:
            write(file, text.replace("scorer.scorer(", "scorer.judge("))
    rename(["crates/learning/src/top/*"], "recall self_distillation", allow=("self_distillation",))
    rename(["crates/core/src/gradient_monitor/mod.rs", "benches/src/bin/gradient_monitor.rs", "benches/src/bin/hijack/trial.rs"],
           "watch monitor\nwatched monitored\nwatches monitors\nsee observe")
    rename(["party/src/prepare.rs", "attack/src/evidence/simulation.rs"], "watches monitors")
    rename(["attack/src/active/steering_server.rs"], "watch monitor\nsee observe")
    rename(["party/src/training/gradient_monitor.rs", "party/src/training/worker.rs", "party/src/training/backlog.rs"],
           "watch monitor\nwatches monitors\nsee observe")
    rename(["crates/learning/src/encoder.rs"], "watched monitored")
    rename(["attack/src/*"], "scene attack_context\nbench victim_context\nfurther remaining_attacks\nopen_door positive_control",
           allow=("positive_control",))
    for file in matching(["attack/src/*"]):
        text = read(file)
        changed = re.sub(r"(pub fn |\.)again\(", r"\1train_replicates(", text)
        if changed != text:
            write(file, changed)


# Words of config files, old to new; crates/config has the same list for people's files.
KINDS = {
    "distance": "hamming-distance",
    "rarity": "chow-liu",
    "neighbours": "knn",
    "gaussians": "mahalanobis",
    "components": "pca",
    "mismatch": "density-ratio",
}
FRACTIONS = ["test", "validation", "cohort", "calibration"]


def everywhere(pairs, files):
    """Replaces in whole texts: code, comments, strings and pages alike."""
    for file in files:
        text = read(file)
        changed = text
        for pattern, new in pairs:
            changed = re.sub(pattern, new, changed)
        if changed != text:
            write(file, changed)


def config_words():
    texts = [f for f in text_files() if f != "CHANGELOG.md" and not f.startswith("proto/proto")]
    pairs = []
    for part in FRACTIONS:
        pairs += [(rf"\b{part}_share\b", f"{part}_fraction"), (rf"--{part}-share\b", f"--{part}-fraction")]
    pairs += [
        (r"\bauxiliary_shares\b", "auxiliary_fractions"),
        (r"\bdefault_shares\b", "default_fractions"),
        (r"\[wait\]", "[timeouts]"),
        (r"\bwait\.(connect_s|start_s|step_s|join_s|handshake_s)\b", r"timeouts.\1"),
        (r"\bwait = \{\{ (join_s|connect_s)", r"timeouts = {{ \1"),
        (r"\bserve\.absent_s\b", "serve.absent_timeout_s"),
        (r"\babsent_s\b", "absent_timeout_s"),
        (r"\b(columns|alignment)\.wait_s\b", r"\1.timeout_s"),
    ]
    everywhere(pairs, texts)
    # The wire's words stay: both sides digest them.
    settings = "crates/core/src/settings.rs"
    text = read(settings)
    at = text.index("pub fn to_settings")
    end = text.index("];", at)
    body = re.sub(r'\("(test|validation|cohort|calibration)_fraction"', r'("\1_share"', text[at:end])
    if body.count('_share"') != 4:
        raise SystemExit(f"{settings}: not four fractions among the canonical pairs")
    write(settings, text[:at] + body + text[end:])

    everywhere([(r"\bconfig\.wait\b", "config.timeouts"), (r"\bpub wait: Timeouts\b", "pub timeouts: Timeouts")],
               matching(["coordinator/src/*", "party/src/*"]))
    rename(["coordinator/src/training/admission.rs"], "waits timeouts")
    everywhere([(r"\bwait_s\b", "timeout_s")],
               matching(["crates/alignment/src/local.rs", "crates/data/src/source/sql/*", "crates/data/cluster/tests/*",
                         "tests/federation/aligned.rs"]) + ["docs/tables.md"])
    everywhere([(r"\bnulls\b", "null_values")],
               matching(["party/src/*", "crates/data/src/*", "tests/federation/*"], but=["crates/data/src/source/sql/records.rs"])
               + ["party/src/commands/init.toml", "docs/config.md", "docs/tables.md"])

    # Detectors.
    listed = "|".join(KINDS)
    named = lambda match: f'{match.group(1)}{KINDS[match.group(2)]}{match.group(1)}'
    quoted = rf'(")({listed})"'
    everywhere([(quoted, named)], matching(["crates/detectors/src/coordinator.rs", "benches/src/bin/abnormal/table.rs",
                                            "coordinator/src/*", "tests/federation/*"]) + ["docs/config.md", "docs/predict.md", "docs/detectors.md"])
    pages = [f for f in text_files() if f.endswith(".md") and f != "CHANGELOG.md"]
    everywhere([(rf"(`)({listed})`", named)], pages)
    everywhere([(r"networks::mismatch", "networks::density_ratio")], pages)
    detectors = "crates/detectors/src/coordinator.rs"
    text = read(detectors)
    at = text.index("pub enum CoordinatorDetector")
    end = text.index("\n}\n", at)
    body = text[at:end]
    for variant, word in (("HammingDistance", "distance"), ("ChowLiu", "rarity"), ("Knn", "neighbours"),
                          ("Mahalanobis", "gaussians"), ("Pca", "components"), ("DensityRatio", "mismatch")):
        if f"    {variant}(" not in body:
            raise SystemExit(f"{detectors}: no variant {variant}")
        body = body.replace(f"    {variant}(", f'    #[serde(rename = "{word}")]\n    {variant}(')
    before = text[:at]
    before = before.replace('#[serde(tag = "kind", rename_all = "kebab-case")]',
                            '// The tags are the words that files of detectors have had from the start.\n#[serde(tag = "kind", rename_all = "kebab-case")]')
    write(detectors, before + body + text[end:])


PHRASES = [
    (r"\bthe lobby has ended\b", "admission has ended"),
    (r"\bThe lobby: greets parties\b", "Admission: greets parties"),
    (r"\bThe lobby of one run\b", "Admission to one run"),
    (r"\bOpens the lobby\b", "Opens admission"),
    (r"\bthe lobby\b", "admission"),
    (r"\bThe course of a run\b", "The training loop of a run"),
    (r"\bthe course of a run\b", "the training loop of a run"),
    (r"\bRuns a whole course\b", "Runs the whole training loop"),
    (r"\bthe networked side of the course\b", "the networked backend of the training loop"),
    (r"\b[Aa] run's course\b", "a run's training loop"),
    (r"\bthe very course of a networked run\b", "the very training loop of a networked run"),
    (r"\bThe same course as\b", "The same training loop as"),
    (r"\bThe course is the networked run's own\b", "The training loop is the networked run's own"),
    (r"\bthe very course\b", "the very training loop"),
    (r"\bthe course\b(?! of)", "the training loop"),
    (r"\bThe watch\b", "The gradient monitor"),
    (r"\bthe watch\b", "the gradient monitor"),
    (r"\bA watch\b", "A gradient monitor"),
    (r"\ba watch over time\b", "a monitor over time"),
    (r"\bA party's watch over\b", "A party's monitor of"),
    (r"\b[Tt]he party's watch over\b", "The party's monitor of"),
    (r"\bparty's watch\b", "party's gradient monitor"),
    (r"\bdrawn inputs\b", "synthetic inputs"),
    (r"\bThe open door\b", "The positive control"),
    (r"\bThe bench: one victim\b", "The context of attacks on one victim: it"),
]


def phrases():
    """Comments and pages; strings stay, for random streams and files are named by some of them."""
    for file in text_files():
        if file == "CHANGELOG.md" or file.startswith("proto/proto"):
            continue
        text = read(file)
        if file.endswith(".md"):
            changed = text
            for pattern, new in PHRASES:
                changed = re.sub(pattern, new, changed)
        elif file.endswith(".rs"):
            out = []
            for kind, piece in segments(text):
                if kind == "comment":
                    for pattern, new in PHRASES:
                        piece = re.sub(pattern, new, piece)
                out.append(piece)
            changed = "".join(out).replace('"the lobby has ended"', '"admission has ended"')
        else:
            continue
        if changed != text:
            write(file, changed)


def types():
    private_types()
    public_types()
    values()


def apply():
    types()
    config_words()
    phrases()
