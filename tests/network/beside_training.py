"""Faults of a network in what comes before and after a training: alignment and predictions."""

import csv
import os
import re
import shutil
import subprocess
import time

from checks import fail, wait_until
from federation import programs
from namespaces import HOST, PARTIES, PORT, SIDES

HOLDERS = {"coordinator": "labels", "bank": "bank", "telecom": "telecom"}


def predict(federation, rows):
    """Predictions of records, as a client of the telecom asks for them: outcome and all else by id, and the seconds it took."""
    federation.write("ids.csv", "id\n" + "".join(f"r{row}\n" for row in rows))
    out = federation.path("predictions.csv")
    if os.path.exists(out):
        os.remove(out)
    command = [*federation.network.at("telecom"), f"{programs()}/coordinator", "predict", "--server", f"http://{HOST}:{PORT}",
               "--identity", "desk", "--input", "ids.csv", "--id", "id", "--out", "predictions.csv", "--allow-missing"]
    began = time.monotonic()
    ran = subprocess.run(command, cwd=federation.folder, capture_output=True, text=True, timeout=120)
    if ran.returncode != 0:
        fail(f"predict: {ran.stderr.strip()}")
    with open(out, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}, time.monotonic() - began


def outcomes(predictions):
    return sorted({row["outcome"] for row in predictions.values()})


def serve(federation):
    coordinator = federation.start("coordinator", "serve", tag="-serves")
    wait_until(30, "the coordinator to listen", lambda: '"listening"' in coordinator.out(), coordinator.last)
    parties = [federation.start(party, "serve", tag="-serves") for party in PARTIES]
    for party in PARTIES:
        wait_until(30, "a party to serve", lambda: f'"party":"{party}"' in coordinator.out(), coordinator.last)
    return coordinator, parties


def a_partys_cable_is_pulled_while_predictions_are_served(test):
    """Clients hear within `serve.absent_timeout_s` that it is away; when it is back, predictions have the bits of others."""
    federation = test.federation(epochs=5, timeouts={"keep_alive_s": 2},
                                 lines={"coordinator": 'serve = { absent = "refuse", absent_timeout_s = 3 }\n'})
    for process in federation.start_all():
        process.ends(federation.RUN_S)
    federation.command("coordinator", "identity", "issue", "client/desk", "--config", "coordinator.toml", "--into", "desk")
    untouched = federation.path("untouched")
    shutil.copytree(federation.folder, untouched, ignore=shutil.ignore_patterns("untouched"))

    coordinator, parties = serve(federation)
    known, _ = predict(federation, range(50))
    test.network.cable("bank", plugged=False)
    away, took = predict(federation, range(100))
    print(f"   a client heard after {took:.1f} s who is away")
    if [away[f"r{row}"]["outcome"] for row in (0, 49, 50, 99)] != ["predicted"] * 2 + ["party away"] * 2 or took > 3 + 10:
        fail(f"after {took:.1f} s: {outcomes(away)}")
    again, took = predict(federation, range(100, 110))
    if outcomes(again) != ["party away"] or took > 3 + 10:
        fail(f"after {took:.1f} s: {outcomes(again)}")
    # Until the connection counts as broken.
    coordinator.has_said(30, "bank")
    time.sleep(10)
    test.network.heal()
    found = {}

    def all_are_there():
        found.update(predict(federation, range(federation.records))[0])
        return outcomes(found) == ["predicted"]

    print(f"   all are predicted {wait_until(60, 'all predictions', all_are_there, coordinator.last):.1f} s after the end of the fault")
    for process in (coordinator, *parties):
        process.child.terminate()
        process.ends(10)

    federation.folder, disturbed = untouched, federation.folder
    processes = serve(federation)
    expected, _ = predict(federation, range(federation.records))
    federation.folder = disturbed
    for process in (processes[0], *processes[1]):
        process.child.terminate()
        process.ends(10)
    if outcomes(expected) != ["predicted"] or found != expected or any(known[row] != expected[row] for row in known):
        fail("predictions are not those of an undisturbed service")


def alignment_lines(side):
    name = f'name = "{HOLDERS[side]}", ' if side == "coordinator" else ""
    return (f'policy = "{side}-policy.toml"\n'
            f'alignment = {{ {name}folder = "{side}-align", key = "{side}-align.key", settings = {{ id = "al", '
            'holders = ["bank", "telecom", "labels"], comparer = "labels", most_records = 100000 } }\n')


def alignment(test, records, timeouts):
    """A federation whose tables are in no common order, with keys pinned."""
    timeouts = {"start_s": 30, "join_s": 30, **timeouts}
    federation = test.federation(records=records, timeouts=timeouts, lines={side: alignment_lines(side) for side in SIDES})
    keys = {}
    for side in SIDES:
        program = "coordinator" if side == "coordinator" else "party"
        keys[HOLDERS[side]] = federation.command(program, "keygen", "--out", f"{side}-align.key").strip()
    for at, side in enumerate(SIDES):
        file = "labels.csv" if side == "coordinator" else f"{side}.csv"
        header, *rows = federation.read(file).decode().splitlines()
        rows = [row for number, row in enumerate(rows) if number % 10 != at]
        turn = 37 * (at + 1)
        federation.write(file, "\n".join([header, *reversed(rows[turn:] + rows[:turn])]) + "\n")
        pins = "".join(f'{name} = "{key}"\n' for name, key in keys.items() if name != HOLDERS[side])
        federation.write(f"{side}-policy.toml", f"[alignment]\nmost = 4\n[alignment.keys]\n{pins}")
    return federation


def align(federation):
    coordinator = federation.start("coordinator", "align", tag="-aligns")
    wait_until(30, "the coordinator to listen", lambda: '"listening"' in coordinator.out(), coordinator.last)
    return [coordinator] + [federation.start(party, "align", tag="-aligns") for party in PARTIES]


def ids(federation, name):
    """The ids of a table or of an order, in their order."""
    return re.findall(r"^(r\d+)\b", federation.read(name).decode(), re.MULTILINE)


def a_cable_is_pulled_in_an_alignment(test):
    """For 15 s, which is shorter than `timeouts.start_s`: all end with one order of the common records."""
    federation = alignment(test, 20_000, {"keep_alive_s": 2})
    processes = align(federation)
    for party in PARTIES:
        processes[0].has_said(60, f"{party}: has connected")
    test.network.cable("bank", plugged=False)
    time.sleep(15)
    if not all(process.runs() for process in processes):
        fail("one has ended: " + "; ".join(process.last() for process in processes))
    test.network.heal()
    for process in processes:
        process.ends(federation.RUN_S)
    found = [ids(federation, f"{side}-align/order.csv") for side in SIDES]
    common = set.intersection(*(set(ids(federation, file)) for file in ("labels.csv", "bank.csv", "telecom.csv")))
    if not found[0] == found[1] == found[2]:
        fail(f"holders have other orders, of {[len(order) for order in found]} records")
    if len(found[0]) != len(common) or set(found[0]) != common:
        fail(f"the order has {len(found[0])} records, and {len(common)} are common")
