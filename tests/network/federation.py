"""A federation of a coordinator and two parties, each in a network namespace of its own: tables, configs, identities over mutual
TLS, processes with a limit on every wait, and what a run has left."""

import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from checks import fail, wait_until
from namespaces import HOST, PARTIES, PORT, SIDES

# Nothing is given longer to end than its own limit and this.
GRACE_S = 10

RUN = """
[run]
parties = ["bank", "telecom"]
task = "binary"
bits = 8
epochs = {epochs}
batch_rows = 64
learning_rate = 0.02
"""

COORDINATOR = """
run_id = "network"
listen = "0.0.0.0:{port}"
state = "coordinator-state"
device = "cpu"
labels = {{ format = "csv", paths = ["labels.csv"], id = "id", column = "y" }}
{extra}
[identity]
folder = "coordinator-identity"
[timeouts]
{timeouts}
"""

PARTY = """
name = "{party}"
run_id = "network"
coordinator = "http://{dials}"
state = "{party}-state"
ledger = "{party}-ledger.redb"
response_key = "{party}.key"
device = "cpu"
seed = {seed}
columns = {{ format = "csv", paths = ["{party}.csv"], id = "id" }}
{extra}
[identity]
folder = "{party}-identity"
[timeouts]
{timeouts}
"""


def programs():
    return os.path.abspath(os.environ.get("PROGRAMS", "target/debug"))


class Process:
    """A program of a side that runs in its namespace. What it prints goes into a file."""

    def __init__(self, folder, name, command):
        self.name = name
        self.paths = [os.path.join(folder, f"{name}.{stream}") for stream in ("out", "log")]
        out, log = (open(path, "w") for path in self.paths)
        environment = {**os.environ, "HASHVFL_LOG": "info"}
        self.child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment,
                                      start_new_session=True)
        out.close()
        log.close()

    def out(self):
        return self.text(0)

    def log(self):
        return self.text(1)

    def text(self, stream):
        with open(self.paths[stream], errors="replace") as file:
            return file.read()

    def last(self):
        return f"{self.name}: " + " | ".join(self.log().splitlines()[-6:])

    def runs(self):
        return self.child.poll() is None

    def kill(self):
        """As `kill -9`, with all processes that it has started."""
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It has ended.
        self.child.wait()

    def has_said(self, limit_s, text):
        """Waits until its log matches a pattern."""
        return wait_until(limit_s, f"{self.name} to say {text!r}", lambda: re.search(text, self.log()), self.last)

    def epoch(self):
        """The last epoch that the coordinator has reported, from 0; -1 before."""
        found = re.findall(r'"epoch":(\d+)', self.out())
        return int(found[-1]) if found else -1

    def reaches(self, epoch, limit_s=120):
        wait_until(limit_s, f"epoch {epoch}", lambda: self.epoch() >= epoch or not self.runs(), self.last)
        if self.epoch() < epoch:
            fail(f"ended before epoch {epoch}: {self.last()}")

    def ends(self, limit_s, code=0):
        """Waits for its end, with this exit code and one line of error at most; that line, and the seconds that it took."""
        took = wait_until(limit_s, f"{self.name} to end", lambda: not self.runs(), self.last)
        found = self.child.returncode
        if found != code:
            fail(f"{self.name} ended with {found} and not with {code}: {self.last()}")
        errors = [line for line in self.log().splitlines() if line.startswith("error: ")]
        if "panicked" in self.log() or len(errors) != (code == 1):
            fail(f"{self.name}: {len(errors)} lines of error: {self.last()}")
        return (errors[0] if errors else ""), took

    def fails(self, limit_s, *words):
        """Waits for a bad end by one line that has all these words; the seconds that it took."""
        line, took = self.ends(limit_s + GRACE_S, code=1)
        for word in words:
            if not re.search(word, line):
                fail(f"{self.name} did not say {word!r}: {line}")
        print(f"   {self.name} after {took:.1f} s: {line}")
        return took


class Federation:
    """Tables, configs and identities of a federation, in a folder of its own."""

    # Longest time of a run that nothing keeps from its end.
    RUN_S = 900

    def __init__(self, network, epochs, records=400, timeouts=None, on_interruption="wait", dials=None, lines=None, seeds=None):
        """`timeouts` are those of all sides that have them; `dials`, `lines` of a config and `seeds` are by side."""
        self.network, self.epochs, self.records = network, epochs, records
        self.folder = tempfile.mkdtemp(prefix="hashvfl-network-")
        self.processes = []
        self.write_tables()
        dials, lines, seeds = dials or {}, lines or {}, seeds or {}
        for side in SIDES:
            own = {name: value for name, value in (timeouts or {}).items() if self.has_timeout(side, name)}
            values = dict(
                party=side, port=PORT, dials=dials.get(side, f"{HOST}:{PORT}"), seed=seeds.get(side, 7),
                extra=f'on_interruption = "{on_interruption}"\n' + lines.get(side, ""),
                timeouts="\n".join(f"{name} = {value}" for name, value in own.items()),
            )
            template = PARTY if side in PARTIES else COORDINATOR
            self.write(f"{side}.toml", template.format(**values) + RUN.format(epochs=epochs))
        self.identities()

    @staticmethod
    def has_timeout(side, name):
        """Whether a side's config has this limit."""
        only = {"connect_s": PARTIES, "start_s": PARTIES, "join_s": ["coordinator"], "handshake_s": ["coordinator"]}
        return side in only.get(name, SIDES)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write_tables(self):
        """The label is whether two hidden sums, one per party, have one sign."""
        draw = random.Random(1)
        sums = [0.0] * self.records
        for party in PARTIES:
            rows = [[draw.uniform(-0.5, 0.5) for _ in range(3)] for _ in range(self.records)]
            sums = [total + row[0] + row[1] for total, row in zip(sums, rows)]
            with open(self.path(f"{party}.csv"), "w", newline="") as file:
                csv.writer(file).writerows([["id", "a", "b", "c"]] + [[f"r{at}", *row] for at, row in enumerate(rows)])
        with open(self.path("labels.csv"), "w", newline="") as file:
            csv.writer(file).writerows([["id", "y"]] + [[f"r{at}", int(total > 0)] for at, total in enumerate(sums)])

    def command(self, *arguments):
        """Runs a program of HashVFL that must end well; what it printed."""
        program = os.path.join(programs(), arguments[0])
        ran = subprocess.run([program, *arguments[1:]], cwd=self.folder, capture_output=True, text=True)
        if ran.returncode != 0:
            fail(f"{' '.join(arguments)}: {ran.stderr.strip()}")
        return ran.stdout

    def identities(self):
        """As in docs/how-to/identities.md: requests travel to the coordinator, certificates back."""
        said = self.command("coordinator", "identity", "init", "--name", "shop", "--config", "coordinator.toml")
        authority = last_word(said, "authority  ")
        for party in PARTIES:
            own = f"{party}-identity"
            self.command("party", "identity", "request", "--config", f"{party}.toml")
            request, answer = (f"{own}/party-{party}.{what}.pem" for what in ("request", "certificate"))
            self.command("coordinator", "identity", "sign", request, "--config", "coordinator.toml")
            self.command("party", "identity", "accept", answer, "--config", f"{party}.toml", "--authority", authority)

    def start(self, side, *arguments, tag=""):
        """Starts a side in its namespace."""
        program = "party" if side in PARTIES else "coordinator"
        json_lines = ["--json"] if side == "coordinator" else []
        command = [*self.network.at(side), os.path.join(programs(), program), *arguments, *json_lines, "--config",
                   f"{side}.toml"]
        process = Process(self.folder, side + tag, command)
        self.processes.append(process)
        return process

    def beside(self, place, name, *command):
        """Starts another program in a namespace."""
        process = Process(self.folder, name, [*self.network.at(place), *command])
        self.processes.append(process)
        return process

    def start_all(self):
        """Starts all sides; the coordinator, the bank and the telecom."""
        coordinator = self.start("coordinator")
        wait_until(30, "the coordinator to listen", lambda: '"listening"' in coordinator.out(), coordinator.last)
        return [coordinator] + [self.start(party) for party in PARTIES]

    def outcome(self):
        """What a run has learned, released and counted, without times, by name."""
        found = {}
        for side in SIDES:
            model = "top" if side == "coordinator" else "bottom"
            found[f"weights of {side}"] = weights(self.path(f"{side}-state/{model}.safetensors"))
        found["summary"] = without_times(json.loads(self.read("coordinator-state/summary.json")))
        for name in sorted(os.listdir(self.path("coordinator-state/codes"))):
            found[f"codes {name}"] = hashlib.sha256(self.read(f"coordinator-state/codes/{name}")).hexdigest()
        for party in PARTIES:
            out = f"{party}.accounts.csv"
            self.command("party", "ledger", "export", "--ledger", f"{party}-ledger.redb", "--config", f"{party}.toml",
                         "--out", out)
            found[f"ledger of {party}"] = self.read(out).decode()
        return found

    def remove(self, keep):
        """Ends all processes and removes the folder, unless it is to be kept."""
        for process in self.processes:
            process.kill()
        if keep:
            print(f"   kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder)


def last_word(text, what):
    """The last word of the line that holds `what`."""
    lines = [line for line in text.splitlines() if what in line]
    return lines[0].split()[-1] if lines else fail(f"no {what!r}: {text}")


def weights(path):
    """SHA-256 over all weights of a model, by tests/containers/weights.py."""
    script = os.path.join(os.path.dirname(__file__), "../containers/weights.py")
    return subprocess.run([sys.executable, script, path], check=True, capture_output=True, text=True).stdout.strip()


def without_times(value):
    """A summary without what says how long something took, without the digest of all, and without bytes to parties, which begin
    with heads of audit logs and their signatures."""
    if isinstance(value, dict):
        kept = {key: without_times(item) for key, item in value.items()}
        varying = [key for key in kept if key == "sha256" or key.endswith("seconds") or key.startswith("down")]
        return {key: item for key, item in kept.items() if key not in varying}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def same(found, expected):
    """Fails unless two runs have the same outcome."""
    if found.keys() != expected.keys():
        fail(f"other files: {sorted(found.keys() ^ expected.keys())}")
    for name, value in found.items():
        if value != expected[name]:
            fail(f"{name} differs: {first_difference(str(value), str(expected[name]))}")


def first_difference(found, expected):
    pairs = zip(found, expected)
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(found), len(expected)))
    begin = max(0, at - 60)
    return f"{found[begin:at + 60]!r} and not {expected[begin:at + 60]!r}"
