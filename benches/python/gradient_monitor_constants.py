"""What drifts and bounds of the gradient monitor give on traces that `hijack --parts traces` printed.

hijack --data FOLDER --sets digits,vehicle,breast,adult --parts traces --honest 240 --runs 8 --seed 5000 > traces.csv
python benches/python/gradient_monitor_constants.py traces.csv

Of each drift and bound: honest runs with an alarm of either party, hijacked runs noticed within 100 steps, the median
and the last step at which. Then the largest sum that an honest party reaches at each drift.
"""

import collections
import csv
import statistics
import sys

runs = collections.defaultdict(list)
with open(sys.argv[1], newline="") as file:
    for line in csv.DictReader(file):
        key = (line["set"], line["seed"], line["sender"], line["party"])
        runs[key].append((int(line["step"]), float(line["share"])))
honest = {key: trace for key, trace in runs.items() if key[2] == "honest"}
hijacked = [trace for key, trace in runs.items() if key[2] != "honest"]


def sums(trace, drift):
    total = 0.0
    for step, share in trace:
        total = max(0.0, total + share - drift)
        yield step, total


def alarm(trace, drift, bound):
    return next((step for step, total in sums(trace, drift) if total > bound), None)


for drift in (0.3, 0.35, 0.4, 0.45, 0.5):
    for bound in (8, 12, 15):
        false = {key[:2] for key, trace in honest.items() if alarm(trace, drift, bound)}
        steps = [alarm(trace, drift, bound) for trace in hijacked]
        steps = [step for step in steps if step and step <= 100]
        text = f"drift {drift}, bound {bound}: {len(false)} of {len({key[:2] for key in honest})} honest runs"
        if hijacked:
            text += f"; {len(steps)} of {len(hijacked)} hijacked ones"
        if steps:
            text += f", after {statistics.median_high(steps)} steps (median), {max(steps)} at most"
        print(text)
    largest = max(total for trace in honest.values() for _, total in sums(trace, drift))
    print(f"drift {drift}: largest sum of an honest party {largest:.2f}")
