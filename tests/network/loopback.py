"""Federations of real processes at the loopback address, over mutual TLS, for measuring."""

import csv
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile

COMMON = """
run_id = "measured"
state = "{name}-state"
device = "cpu"
on_interruption = "stop"
identity = {{ folder = "{name}-identity" }}
"""
COORDINATOR = """
listen = "127.0.0.1:{port}"
labels = {{ format = "csv", paths = ["labels.csv"], id = "id", column = "y" }}
{lines}
"""
PARTY = """
name = "{name}"
coordinator = "http://127.0.0.1:{port}"
ledger = "{name}.redb"
seed = 7
columns = {{ format = "csv", paths = ["{name}.csv"], id = "id" }}
"""


def programs():
    return os.path.abspath(os.environ.get("PROGRAMS", "target/debug"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Loopback:
    """A coordinator and parties in a folder of their own, until `end`."""

    def __init__(self, names, run, records=400, columns=3, lines=""):
        """`run` is the table [run] without its parties, `lines` are of the coordinator's config."""
        self.names, self.processes, port = names, {}, free_port()
        self.folder = tempfile.mkdtemp(prefix="hashvfl-loopback-")
        self.run = f"[run]\nparties = {json.dumps(names)}\ntask = \"binary\"\n{run}"
        draw = random.Random(1)
        for name in names:
            rows = [[f"r{row}"] + [draw.uniform(-0.5, 0.5) for _ in range(columns)] for row in range(records)]
            self.table(f"{name}.csv", ["id"] + [f"c{at}" for at in range(columns)], rows)
            self.config(name, PARTY.format(name=name, port=port))
        self.table("labels.csv", ["id", "y"], [[f"r{row}", draw.randrange(2)] for row in range(records)])
        self.config("coordinator", COORDINATOR.format(port=port, lines=lines))
        self.command("coordinator", "identity", "init", "--name", "all", "--config", "coordinator.toml")
        for name in names:
            self.command("coordinator", "identity", "issue", f"party/{name}", "--config", "coordinator.toml", "--into",
                         f"{name}-identity")

    def path(self, name):
        return os.path.join(self.folder, name)

    def table(self, file, header, rows):
        with open(self.path(file), "w", newline="") as out:
            csv.writer(out).writerows([header, *rows])

    def config(self, name, text):
        with open(self.path(f"{name}.toml"), "w") as out:
            out.write(COMMON.format(name=name) + text + self.run)

    def command(self, program, *arguments):
        subprocess.run([os.path.join(programs(), program), *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def start(self):
        """Starts all sides, each process by its name."""
        for side in ["coordinator", *self.names]:
            program = [os.path.join(programs(), "party")]
            if side == "coordinator":
                program = [os.path.join(programs(), "coordinator"), "--json"]
            with open(self.path(f"{side}.out"), "w") as out, open(self.path(f"{side}.log"), "w") as log:
                self.processes[side] = subprocess.Popen([*program, "--config", f"{side}.toml"], cwd=self.folder,
                                                        stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    def log(self, side):
        with open(self.path(f"{side}.log"), errors="replace") as log:
            return log.read()

    def memory_mb(self, side):
        """Resident memory of a process, in megabytes: all, and what is of no file."""
        with open(f"/proc/{self.processes[side].pid}/status") as file:
            found = dict(re.findall(r"(VmRSS|RssAnon):\s+(\d+) kB", file.read()))
        return int(found["VmRSS"]) / 1024, int(found["RssAnon"]) / 1024

    def finish(self, limit_s):
        """Waits until all have ended well."""
        for side, process in self.processes.items():
            if process.wait(timeout=limit_s) != 0:
                sys.exit(f"{side} ended with {process.returncode}: {self.log(side)[-500:]}")

    def end(self):
        """Ends what still runs and removes the folder, unless KEEP=1."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        if os.environ.get("KEEP") == "1":
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder)
