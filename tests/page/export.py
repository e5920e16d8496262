"""A finished run in TensorBoard and MLflow: exported by the program, read back by their own packages."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from federation import ROLES, Federation, free_port

failures = []


def check(holds, what):
    print(("ok    " if holds else "FAILS ") + what)
    if not holds:
        failures.append(what)


def near(one, other):
    return abs(one - other) <= 1e-6 * max(abs(one), abs(other), 1)


def export(federation, *arguments):
    command = [ROLES, "coordinator", "export", "--config", federation.folder / "coordinator.toml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout.strip(), done.stderr.strip())
    return done


def tensorboard(federation, summary):
    out = federation.folder / "board"
    check(export(federation, "--to", "tensorboard", "--out", out).returncode == 0, "events are written")
    read = EventAccumulator(str(out / "spring"), size_guidance={"scalars": 0})
    read.Reload()
    tags = read.Tags()["scalars"]
    check({"train/loss", "validation/auc", "test/auc", "bytes/up"} <= set(tags), f"{len(tags)} tags: {tags[:4]} and more")
    for tag, of in [
        ("train/loss", lambda epoch: epoch["train_loss"]),
        ("validation/loss", lambda epoch: epoch["validation"]["loss"]),
        ("validation/auc", lambda epoch: epoch["validation"]["auc"]),
    ]:
        scalars = read.Scalars(tag)
        same = all(
            one.step == epoch["epoch"] and near(one.value, of(epoch))
            for one, epoch in zip(scalars, summary["epochs"], strict=True)
        )
        check(same, f"TensorBoard reads {tag} of {len(scalars)} epochs as the summary has it")
    check(near(read.Scalars("test/auc")[0].value, summary["test"]["auc"]), "and the test's AUC")
    times = [one.wall_time for one in read.Scalars("train/loss")]
    check(times == sorted(times) and abs(times[-1] - time.time()) < 600, "and times that rise until now")


def track(federation, summary):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    store = f"sqlite:///{federation.folder / 'mlflow.db'}"
    command = [
        Path(sys.executable).parent / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", store, "--artifacts-destination", federation.folder / "artifacts",
    ]
    log = (federation.folder / "mlflow.log").open("w", encoding="utf-8")
    # A process group of its own: its workers end with it.
    server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_server(address, server, federation)
        done = export(federation, "--to", "mlflow", "--server", address, "--experiment", "credit")
        check(done.returncode == 0, "MLflow takes the run")
        mlflow.set_tracking_uri(address)
        client = mlflow.tracking.MlflowClient()
        experiment = client.get_experiment_by_name("credit")
        runs = client.search_runs([experiment.experiment_id])
        check(len(runs) == 1 and runs[0].info.run_name == "spring", "one run, by its name")
        run = runs[0]
        check(run.info.status == "FINISHED" and run.data.tags["hashvfl.run_id"] == "spring", "finished, with its id as a tag")
        settings = run.data.params
        check(settings["run.bits"] == summary["settings"]["run.bits"], f"{len(settings)} settings")
        check(near(run.data.metrics["test/auc"], summary["test"]["auc"]), "the test's AUC")
        history = client.get_metric_history(run.info.run_id, "train/loss")
        history.sort(key=lambda one: one.step)
        same = all(
            one.step == epoch["epoch"] and near(one.value, epoch["train_loss"])
            for one, epoch in zip(history, summary["epochs"], strict=True)
        )
        check(same, f"losses of {len(history)} epochs as the summary has them")
        check(export(federation, "--to", "mlflow", "--server", address, "--experiment", "credit").returncode == 0, "and once more")
        check(len(client.search_runs([experiment.experiment_id])) == 2, "which is another run of the same experiment")
    finally:
        import os
        import signal

        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_for_server(address, server, federation):
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).read()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"mlflow does not start: {(federation.folder / 'mlflow.log').read_text()}")


def main():
    with Federation(parties=2, records=400, epochs=6) as federation:
        federation.start_all()
        federation.event("finished")
        for process in federation.processes.values():
            process.wait(60)
        summary = json.loads((federation.folder / "coordinator-state/summary.json").read_text())
        tensorboard(federation, summary)
        track(federation, summary)
        federation.processes = {}
    if failures:
        sys.exit("failed: " + "; ".join(failures))


main()
