"""A federation of real processes on loopback whose pages can be read: tables, configs, processes, pages."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROLES = Path(os.environ.get("HASHVFL_ROLES", Path(__file__).resolve().parents[2] / "target/debug/roles"))
NAMES = ["bank", "telecom", "shop", "clinic", "school", "port", "mill", "farm", "mine", "press"]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Federation:
    """One coordinator and its parties, each with a page; all end when the `with` block does."""

    def __init__(self, parties=3, records=2000, epochs=100_000, runs=0, bits=16, monitored=True, detectors=False):
        self.names, self.epochs, self.bits = NAMES[:parties], epochs, bits
        self.folder = Path(tempfile.mkdtemp(prefix="hashvfl-page-"))
        self.address = f"127.0.0.1:{free_port()}"
        self.pages = {name: f"127.0.0.1:{free_port()}" for name in ["coordinator", *self.names]}
        self.processes, self.monitored, self.detectors = {}, monitored, detectors
        self.write_tables(records)
        self.write_configs(epochs)
        if runs:
            self.write_runs(runs)

    def write_tables(self, records):
        draw = random.Random(7)
        rows = {name: ["id,a,b,c"] for name in self.names}
        labels = ["id,y"]
        for record in range(records):
            total = 0.0
            for name in self.names:
                values = [draw.gauss(0, 1) for _ in range(3)]
                total += values[0] + values[1] + draw.gauss(0, 0.5)
                rows[name].append(f"r{record}," + ",".join(f"{value:.4f}" for value in values))
            labels.append(f"r{record},{int(total > 0)}")
        for name, lines in [*rows.items(), ("labels", labels)]:
            (self.folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write_configs(self, epochs):
        calibration = "calibration_fraction = 0.3\n" if self.detectors else ""
        run = f"""[run]
parties = {json.dumps(self.names)}
task = "binary"
bits = {self.bits}
epochs = {epochs}
batch_rows = 128
learning_rate = 0.003
{calibration}"""
        limits = "bits_per_record = 20000000\nencodings_per_record = 2000000\n"
        (self.folder / "policy.toml").write_text(limits, encoding="utf-8")
        for name in self.names:
            page = f'monitor = "{self.pages[name]}"\n' if self.monitored else ""
            (self.folder / f"{name}.toml").write_text(
                f"""name = "{name}"
run_id = "spring"
coordinator = "http://{self.address}"
state = "{name}-state"
ledger = "{name}-ledger.redb"
policy = "policy.toml"
device = "cpu"
insecure_plaintext = true
{page}columns = {{ format = "csv", paths = ["{name}.csv"], id = "id" }}
{run}""",
                encoding="utf-8",
            )
        page = f'monitor = "{self.pages["coordinator"]}"\n' if self.monitored else ""
        detectors = "detectors = { level = 0.05 }\n" if self.detectors else ""
        (self.folder / "coordinator.toml").write_text(
            f"""run_id = "spring"
listen = "{self.address}"
state = "coordinator-state"
device = "cpu"
insecure_plaintext = true
runs = "runs.jsonl"
{page}{detectors}labels = {{ format = "csv", paths = ["labels.csv"], id = "id", column = "y" }}
{run}""",
            encoding="utf-8",
        )

    def write_runs(self, count):
        """Lines of finished runs, as the coordinator writes them."""
        draw = random.Random(3)
        lines = []
        for number in range(count):
            lines.append({
                "run_id": f"run-{number:03}", "finished_s": 1_790_000_000 + 86_400 * number, "version": "0.1.0",
                "parties": self.names, "records": 2000, "bits": self.bits, "epochs": 30, "best_epoch": draw.randint(5, 30),
                "metric": "AUC", "test": 0.7 + draw.random() / 5, "test_loss": 0.4 + draw.random() / 5,
                "flagged_fraction": draw.random() / 50, "released_bits_per_record": 480, "received_bytes": 4_000_000,
                "sent_bytes": 30_000_000, "seconds": 40 + 20 * draw.random(),
            })
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (self.folder / "runs.jsonl").write_text(text, encoding="utf-8")

    def start(self, name, *command):
        role = "coordinator" if name == "coordinator" else "party"
        log = (self.folder / f"{name}.log").open("w", encoding="utf-8")
        arguments = [ROLES, role, *command, "--config", self.folder / f"{name}.toml"]
        output = subprocess.PIPE if name == "coordinator" else subprocess.DEVNULL
        self.processes[name] = subprocess.Popen(
            arguments, stdout=output, stderr=log, stdin=subprocess.DEVNULL, text=True
        )

    def start_all(self, *command):
        self.start("coordinator", *command, "--json")
        self.event("listening")
        for name in self.names:
            self.start(name, *command)

    def event(self, kind, epoch=0):
        """The next event of that kind."""
        for line in self.processes["coordinator"].stdout:
            event = json.loads(line)
            if event["event"] == kind and event.get("epoch", 0) >= epoch:
                return event
        raise SystemExit(f"the coordinator ended: {(self.folder / 'coordinator.log').read_text()}")

    def drain(self):
        """Reads events on, so that the coordinator never waits for a reader."""
        import threading

        threading.Thread(target=self.processes["coordinator"].stdout.read, daemon=True).start()

    def url(self, name="coordinator", path="/"):
        return f"http://{self.pages[name]}{path}"

    def page(self, name="coordinator", path="/status"):
        with urllib.request.urlopen(self.url(name, path), timeout=20) as answer:
            return answer.read().decode()

    def status(self, name="coordinator"):
        return json.loads(self.page(name, "/status"))

    def halt(self, name):
        """Lets a party stand still, and waits until the coordinator does too."""
        self.processes[name].send_signal(signal.SIGSTOP)
        before = None
        while True:
            time.sleep(0.7)
            steps = self.status()["steps"]
            if steps == before:
                return
            before = steps

    def go_on(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
