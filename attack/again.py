#!/usr/bin/env python3
"""The main rows of a report once more, by other code: a second implementation that checks the first.

    again.py TRANSCRIPT REPORT VICTIM.csv OWN.csv LABELS.csv

Reads what the coordinator's transcript (Parquet) holds, which records the report's adversary owned and which were scored, and
the tables, whose columns must be pixels: a bottom model sees them as they are, up to their unit. It knows nothing of the
regressions that the report was made with; its own are scikit-learn's. For one code of test records and for the codes of all
epochs of training records, and for each adversary, it prints the report's skill over the mean, its own, and by how much its own
is above on the same records. It ends with 1 if its own is above beyond chance anywhere.

Needs numpy, pyarrow and scikit-learn.
"""

import csv
import json
import sys
from collections import defaultdict

import numpy as np
import pyarrow.parquet as parquet
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RESAMPLES = 2_000


def transcript(path):
    """Codes of each party: {(party, moment): {record: values}}, moments being epochs from 0, and "last"."""
    table = parquet.read_table(path)
    header = json.loads(table.schema.metadata[b"hashvfl.header"])
    bits, seen, epoch_now = header["bits"], defaultdict(dict), 0
    names = ["kind", "epoch", "record", "party", "encoding", "value"]
    for kind, epoch, record, party, encoding, value in zip(*(table.column(name).to_pylist() for name in names)):
        if kind == "gradient":
            continue
        if kind == "batch":
            moment = epoch_now = epoch
        elif kind == "cohort-validation":
            moment = epoch_now
        else:
            moment = "last"
        if encoding == "bits":
            values = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")[:bits] * 2.0 - 1.0
        else:
            values = np.frombuffer(value, "<f4").astype(float)
        seen[party, moment][record] = values
    return header, seen


def table(path, places):
    """Numbers of a CSV file whose first column is the id, in the order of a run's rows: `places` when ids are sorted."""
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    rows.sort(key=lambda row: row[0].encode())
    return np.array([[float(cell) for cell in rows[place][1:]] for place in places])


def last(seen, party, epochs):
    """The last code of each record."""
    codes = {}
    for moment in [*range(epochs), "last"]:
        codes.update(seen.get((party, moment), {}))
    return codes


class Evidence:
    """What adversaries know of records."""

    def __init__(self, header, seen, victim, own, labels):
        self.parties = header["parties"]
        self.seen, self.victim = seen, victim
        self.epochs = 1 + max(moment for _, moment in seen if moment != "last")
        self.own = own
        classes = np.unique(labels)
        self.labels = (labels == classes).astype(float) if len(classes) <= 20 else labels
        self.last = {party: last(seen, party, self.epochs) for party in self.parties}

    def blocks(self, adversary, release):
        """Lookups, each from a record to numbers."""
        blocks = []
        if release == "one code":
            blocks.append(self.last[self.victim])
        else:
            blocks += [self.seen[self.victim, epoch] for epoch in range(self.epochs)]
            blocks.append(self.last[self.victim])
        if adversary != "stranger":
            blocks.append(self.labels)
        if adversary == "coordinator" or (adversary == "organisation" and len(self.parties) > 2):
            blocks += [self.last[party] for party in self.parties if party != self.victim]
        if adversary == "organisation":
            blocks.append(self.own)
        return blocks

    def known(self, adversary, release, records):
        """Those of `records` of which everything is known, and what it is."""
        blocks = self.blocks(adversary, release)
        whole = [r for r in records if all(r in block for block in blocks if isinstance(block, dict))]
        return whole, np.array([np.concatenate([block[r] for block in blocks]) for r in whole])


def learners(rows, width):
    """Regressions of several kinds."""
    scaled = lambda model: make_pipeline(StandardScaler(), model)
    yield scaled(RidgeCV(np.logspace(-1, 5, 13)))
    for reach in [0.5, 1.0, 2.0]:
        yield scaled(KernelRidge(alpha=0.3, kernel="rbf", gamma=1 / (2 * width * reach**2)))
    yield ExtraTreesRegressor(200, min_samples_leaf=3, max_features=0.3, n_jobs=2, random_state=1)
    if rows >= 400:
        yield scaled(MLPRegressor((128,), alpha=1.0, early_stopping=True, max_iter=200, random_state=1))


def guess(x, y, asked):
    """The mean of the two regressions that do best in cross-validation, at `asked`."""
    middle, tried = y.mean(0), []
    for model in learners(len(x), x.shape[1]):
        out = cross_val_predict(model, x, y - middle, cv=KFold(5, shuffle=True, random_state=1))
        tried.append((((y - middle - out) ** 2).sum(), len(tried), model))
    best = [model.fit(x, y - middle).predict(asked) for _, _, model in sorted(tried)[:2]]
    return middle + np.mean(best, axis=0)


def skill_gain(ours, theirs, reference):
    """What `ours` gains over `theirs` in skill, with a 95 % interval over records."""
    draws = np.random.default_rng(1).integers(0, len(ours), (RESAMPLES, len(ours)))
    gain = (theirs - ours)[draws].sum(1) / reference[draws].sum(1)
    low, high = np.percentile(gain, [2.5, 97.5])
    return (theirs - ours).sum() / reference.sum(), low, high


KNOWS = {
    "stranger": [],
    "coordinator": ["labels", "last codes of the other parties"],
    "organisation": ["labels", "own columns"],
}


def main(arguments):
    if len(arguments) != 5:
        sys.exit(__doc__)
    header, seen = transcript(arguments[0])
    report = json.load(open(arguments[1]))
    columns, own, labels = (table(path, report["sorted"]) for path in arguments[2:])
    victim = report["results"][0]["victim"].split("'s columns")[0]
    evidence = Evidence(header, seen, victim, own, labels)
    owned, fell = set(report["owned"]), False
    print("| records | adversary | report | again | again above |\n|---|---|---|---|---|")
    for population, release in [("test records", "one code"), ("training records", "all codes")]:
        targets = report["targets"][population]
        like = {r for r in owned if (r in evidence.seen[victim, 0]) == (targets[0] in evidence.seen[victim, 0])}
        mean = columns[sorted(like)].mean(0)
        reference = ((columns[targets] - mean) ** 2).sum(1)
        for adversary, knows in KNOWS.items():
            chosen = [
                row for row in report["results"]
                if row["attack"] == "conditional mean" and row["cut"] == "codes" and row["errors"]
                and row["victim"] == f"{victim}'s columns ({population})" and row["knowledge"] == knows
                and row["defence"] == report["defence"]
            ]
            row = chosen[-1]
            records, x = evidence.known(adversary, release, sorted(owned))
            _, asked = evidence.known(adversary, release, targets)
            errors = ((columns[targets] - guess(x, columns[records], asked)) ** 2).sum(1)
            value, theirs = row["metrics"]["skill over mean"], np.array(row["errors"])
            # The report's pixels have another unit.
            theirs *= reference.sum() / theirs.sum() * (1 - value["value"])
            gain, low, high = skill_gain(errors, theirs, reference)
            fell |= low > 0
            ours = 100 * (1 - errors.sum() / reference.sum())
            print(
                f"| {population}, {release} | {adversary} "
                f"| {100 * value['value']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f}) "
                f"| {ours:.1f} | {100 * gain:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |",
                flush=True,
            )
    return int(fell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
