#!/usr/bin/env python3
"""The main rows of a report once more, by other code: a second implementation that checks the first.

    again.py TRANSCRIPT FOLDER
    again.py --rows FOLDER     names the rows of FOLDER/report.json that it would repeat

Reads what the coordinator's transcript (Parquet) holds, and FOLDER, which `attack run` wrote with keep_columns = true: which
records the report's adversary owned, which were scored, and the columns and labels as attacks take them. It knows nothing of the
regressions that the report was made with; its own are scikit-learn's. For one code of test records and for all codes of training
and validation records, and for each adversary that the report names, it prints the report's skill over the mean, its own, and by
how much its own is above on the same records. It ends with 1 if its own is above beyond chance anywhere, or if the report lacks a
row. Needs numpy, pyarrow and scikit-learn; --rows needs nothing.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

RESAMPLES = 2_000
MOST_IN_KERNEL = 4_000  # A kernel has the square of the records.
MOST_BY_THEMSELVES = 31  # Categories of a column that holds positions; all others count as one.

# What the report says of knowledge, and what it is here.
LABELS, OTHERS, OWN = "labels", "other parties' codes", "own columns"
POPULATIONS = ["test records", "training records", "validation records"]


def rows(report):
    """The rows that are repeated, with population and adversary: of each population the conditional means of what says most."""
    found = []
    for population in POPULATIONS:
        alike = [
            row for row in report["results"]
            if row["attack"] == "conditional mean" and row["cut"] == "codes" and row.get("errors")
            and row["victim"].endswith(f"'s columns ({population})") and row["defence"] == report["defence"]
            and set(row["knowledge"]) <= {LABELS, OTHERS, OWN}
        ]
        most = max((row["releases"] for row in alike), default=0)
        alike = [row for row in alike if row["releases"] == most]
        adversaries = [set(row["knowledge"]) for row in alike]
        if population in report["targets"] and not (set() in adversaries and any(LABELS in known for known in adversaries)):
            sys.exit(f"the report has no conditional mean of {population} by who knows nothing, or none by who knows labels")
        found += [(population, ", ".join(row["knowledge"]) or "nothing else", row) for row in alike]
    return found


def forms(header):
    """Latents of each party's code, and bits of each."""
    settings = header["settings"]
    each = int(settings.get("run.bits_per_latent", 1))
    own = dict(code.split("=") for code in settings.get("run.codes", "").split(",") if "=" in code)
    whole = f"{header['bits'] // each}x{each}"
    return {party: tuple(map(int, own.get(party, whole).split("x"))) for party in header["parties"]}


def decoded(value, latents, each):
    """The signs of a code, and behind them the values of its levels, which travel as Gray codes."""
    bits = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")[: latents * each]
    signs = bits * 2.0 - 1.0
    if each == 1:
        return signs
    plain = np.bitwise_xor.accumulate(bits.reshape(latents, each), axis=1)
    levels = plain @ (1 << np.arange(each)[::-1])
    return np.concatenate([signs, (2 * levels - (2**each - 1)) * np.sqrt(3 / (4**each - 1))])


def transcript(path):
    """Codes of each party: {(party, moment): {record: values}}, moments being epochs from 0, and "last"; what records are."""
    table = parquet.read_table(path)
    header = json.loads(table.schema.metadata[b"hashvfl.header"])
    form, seen, kinds, epoch_now = forms(header), defaultdict(dict), {}, 0
    names = ["kind", "epoch", "record", "party", "encoding", "value"]
    for kind, epoch, record, party, encoding, value in zip(*(table.column(name).to_pylist() for name in names)):
        if kind == "gradient":
            continue
        epoch_now = epoch if kind == "batch" else epoch_now
        moment = epoch_now if kind in ("batch", "cohort-validation") else "last"
        kinds.setdefault(record, kind)
        floats = encoding != "bits"
        seen[party, moment][record] = np.frombuffer(value, "<f4").astype(float) if floats else decoded(value, *form[party])
    return header, seen, kinds


class Evidence:
    """What adversaries know of records."""

    def __init__(self, header, seen, victim, own, labels):
        self.seen, self.victim, self.own, self.labels = seen, victim, own, labels
        self.epochs = 1 + max(moment for _, moment in seen if moment != "last")
        self.others = [party for party in header["parties"] if party != victim]
        moments = [*range(self.epochs), "last"]
        last = lambda party: {r: code for moment in moments for r, code in seen[party, moment].items()}
        self.last = {party: last(party) for party in header["parties"]}

    def known(self, row, records, targets):
        """Those of `records` known as well as `targets`, and what is known. Validation records may be encoded from some epoch on."""
        sent = lambda epoch: all(record in self.seen[self.victim, epoch] for record in targets)
        epochs = [epoch for epoch in range(self.epochs) if row["releases"] > 1 and sent(epoch)]
        lookups = [self.seen[self.victim, epoch] for epoch in epochs]
        if row["releases"] > len(epochs):
            lookups.append(self.last[self.victim])
        if LABELS in row["knowledge"]:
            lookups.append(self.labels)
        if OTHERS in row["knowledge"]:
            lookups += [self.last[party] for party in self.others]
            lookups += [self.seen[party, epoch] for party in self.others for epoch in epochs]
        if OWN in row["knowledge"]:
            lookups.append(self.own)
        whole = [r for r in records if all(r in lookup for lookup in lookups if isinstance(lookup, dict))]
        return whole, np.array([np.concatenate([lookup[r] for lookup in lookups]) for r in whole])


def learners(rows, width):
    """Regressions of several kinds."""
    scaled = lambda model: pipeline.make_pipeline(preprocessing.StandardScaler(), model)
    yield scaled(linear_model.RidgeCV(np.logspace(-1, 5, 13)))
    for reach in [0.5, 1.0, 2.0] if rows <= MOST_IN_KERNEL else []:
        yield scaled(kernel_ridge.KernelRidge(alpha=0.3, kernel="rbf", gamma=1 / (2 * width * reach**2)))
    yield ensemble.ExtraTreesRegressor(200, min_samples_leaf=3, max_features=0.3, n_jobs=2, random_state=1)
    if rows >= 400:
        yield scaled(neural_network.MLPRegressor((128,), alpha=1.0, early_stopping=True, max_iter=200, random_state=1))


def guess(x, y, asked):
    """The mean of the two regressions that do best in cross-validation, at `asked`."""
    middle, tried, parts = y.mean(0), [], model_selection.KFold(5, shuffle=True, random_state=1)
    for model in learners(len(x), x.shape[1]):
        out = model_selection.cross_val_predict(model, x, y - middle, cv=parts)
        tried.append((((y - middle - out) ** 2).sum(), len(tried), model))
    best = [model.fit(x, y - middle).predict(asked) for _, _, model in sorted(tried)[:2]]
    return middle + np.mean(best, axis=0)


def units(columns, like, report):
    """Columns as they are scored, and how many they are: pixels as they are, numbers in standard deviations of the records
    `like`, and of positions of categories indicators of the most common ones and of all others, whose variances together are 1."""
    if report["pixels"]:
        return columns, columns.shape[1]
    blocks, positions = [], report.get("positions", [])
    for at in [*(at for at in range(columns.shape[1]) if at not in positions), *positions]:
        block = columns[:, [at]]
        if at in positions:
            values, counts = np.unique(block[like], return_counts=True)
            block = (block == values[np.argsort(-counts, kind="stable")[:MOST_BY_THEMSELVES]]).astype(float)
            block = np.hstack([block, 1 - block.sum(1, keepdims=True)])
        spread = np.sqrt(block[like].var(0).sum())
        if spread > 1e-6:
            blocks.append(block / spread)
    return np.hstack(blocks), len(blocks)


def skill_gain(ours, theirs, reference):
    """What `ours` gains over `theirs` in skill, with a 95 % interval over records."""
    draws = np.random.default_rng(1).integers(0, len(ours), (RESAMPLES, len(ours)))
    gain = (theirs - ours)[draws].sum(1) / reference[draws].sum(1)
    return (theirs - ours).sum() / reference.sum(), *np.percentile(gain, [2.5, 97.5])


def repeat(path, folder, report):
    header, seen, kinds = transcript(path)
    columns, labels = (np.load(folder / f"{name}.npy").astype(float) for name in ["victim", "labels"])
    own = np.load(folder / "own.npy").astype(float) if (folder / "own.npy").exists() else None
    repeated, owned, fell = rows(report), sorted(report["owned"]), False
    percent = lambda value, low, high, sign="": f"{100 * value:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"
    evidence = Evidence(header, seen, repeated[0][-1]["victim"].split("'s columns")[0], own, labels)
    print("| records | saw | knows | report | again | again above |\n|---|---|---|---|---|---|")
    for population, adversary, row in repeated:
        targets = report["targets"][population]
        like = [r for r in owned if kinds.get(r) == kinds[targets[0]]]
        y, counted = units(columns, like, report)
        reference = ((y[targets] - y[like].mean(0)) ** 2).sum(1) / counted
        records, x = evidence.known(row, owned, targets)
        ours = ((y[targets] - guess(x, y[records], evidence.known(row, targets, targets)[1])) ** 2).sum(1) / counted
        value, theirs = row["metrics"]["skill over mean"], np.array(row["errors"])
        # Pixels have another unit in the report; columns of a table have the same.
        factor = reference.sum() / theirs.sum() * (1 - value["value"])
        if not report["pixels"] and abs(factor - 1) > 0.01:
            sys.exit(f"{population}: the report's errors are {1 / factor:.3f} times as large as its skill says")
        gained = skill_gain(ours, theirs * factor, reference)
        fell |= gained[1] > 0
        again = f"{100 * (1 - ours.sum() / reference.sum()):.1f}"
        cells = [population, f"{row['releases']} codes", adversary, percent(**value), again, percent(*gained, sign="+")]
        print(f"| {' | '.join(cells)} |", flush=True)
    return int(fell)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    report = json.loads((folder / "report.json").read_text())
    if sys.argv[1] == "--rows":
        for population, adversary, row in rows(report):
            print(f"{population}: {row['releases']} codes, knowing {adversary}")
        sys.exit(0)
    import numpy as np
    import pyarrow.parquet as parquet
    from sklearn import ensemble, kernel_ridge, linear_model, model_selection, neural_network, pipeline, preprocessing
    sys.exit(repeat(sys.argv[1], folder, report))
