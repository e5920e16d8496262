"""Network namespaces of one federation: each side has a cable to a router between them, and the router has the faults.

    coordinator 10.77.0.2 -- router -- 10.77.1.2 bank
                               |
                           10.77.2.2 telecom
"""

import os
import shutil
import signal
import subprocess

from checks import fail

SIDES = ["coordinator", "bank", "telecom"]
PARTIES = SIDES[1:]
PORT = 7433
# The name under which parties dial the coordinator.
HOST = "coordinator.test"


def address(side):
    return f"10.77.{SIDES.index(side)}.2"


def gateway(side):
    return f"10.77.{SIDES.index(side)}.1"


def missing():
    """Why there are no namespaces here; None where there are."""
    if os.geteuid() != 0:
        return "namespaces need root"
    for program in ["ip", "nft", "tc", "ss"]:
        if shutil.which(program) is None:
            return f"{program} is not here (Debian: iproute2, nftables)"
    name = f"hashvfl-{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"ip netns add: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def done(*command, text=None):
    """Runs a command that must end well; what it printed."""
    ran = subprocess.run(command, input=text, capture_output=True, text=True)
    if ran.returncode != 0:
        fail(f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout


class Network:
    """The namespaces of a federation, until `remove`. Each fault lasts until `heal`."""

    def __init__(self):
        self.prefix = f"hashvfl-{os.getpid()}-"
        self.shaped = []
        self.remove()
        for place in ["router", *SIDES]:
            done("ip", "netns", "add", self.prefix + place)
            done("ip", "-n", self.prefix + place, "link", "set", "lo", "up")
        done(*self.at("router"), "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for side in SIDES:
            done("ip", "link", "add", "cable", "netns", self.prefix + side, "type", "veth",
                 "peer", "name", side, "netns", self.prefix + "router")
            done("ip", "-n", self.prefix + "router", "address", "add", gateway(side) + "/24", "dev", side)
            done("ip", "-n", self.prefix + "router", "link", "set", side, "up")
            done("ip", "-n", self.prefix + side, "address", "add", address(side) + "/24", "dev", "cable")
            self.interface(side, up=True)
        self.name(HOST, address("coordinator"))
        done(*self.at("router"), "nft", "-f", "-", text="""
            table ip faults {
                chain way { type filter hook forward priority 0; policy accept; }
                chain own { type filter hook output priority 0; policy accept; }
            }""")

    def remove(self):
        """Removes the namespaces with all that is in them."""
        for place in ["router", *SIDES]:
            name = self.prefix + place
            if os.path.exists(f"/run/netns/{name}"):
                for pid in done("ip", "netns", "pids", name).split():
                    os.kill(int(pid), signal.SIGKILL)
                done("ip", "netns", "del", name)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)

    def at(self, place):
        """What a command begins with that runs in a namespace."""
        return ["ip", "netns", "exec", self.prefix + place]

    def name(self, name, where):
        """Lets all sides know a name; with `where` None, none that a name server would have to be asked for."""
        for side in SIDES:
            folder = f"/etc/netns/{self.prefix}{side}"
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/hosts", "w") as file:
                file.write("127.0.0.1 localhost\n" + (f"{where} {name}\n" if where else ""))
            with open(f"{folder}/resolv.conf", "w") as file:
                # Nobody is there.
                file.write(f"nameserver {gateway(side)}\noptions timeout:1 attempts:1\n")

    # Faults.

    def cable(self, side, plugged):
        """Pulls a side's cable at the router's end, or plugs it in."""
        done("ip", "-n", self.prefix + "router", "link", "set", side, "up" if plugged else "down")

    def interface(self, side, up):
        """Takes a side's own interface down, or up with its route."""
        done("ip", "-n", self.prefix + side, "link", "set", "cable", "up" if up else "down")
        if up:
            done("ip", "-n", self.prefix + side, "route", "replace", "default", "via", gateway(side))

    def rule(self, rule, chain="way"):
        """Adds a rule of nftables at the router, for what it passes on."""
        done(*self.at("router"), "nft", f"add rule ip faults {chain} {rule}")

    def drop(self, sender, receiver, condition=""):
        """Drops what goes from one side to another, where the condition holds."""
        self.rule(f"ip saddr {address(sender)} ip daddr {address(receiver)} {condition} counter drop")

    def dropped(self):
        """How many packets the rules have dropped or refused."""
        words = done(*self.at("router"), "nft", "list", "table", "ip", "faults").split()
        return sum(int(words[at + 1]) for at, word in enumerate(words) if word == "packets")

    def source_ports(self, party):
        """The ports of a party's connections to the coordinator."""
        lines = done(*self.at(party), "ss", "-Htn", "state", "established", "dport", "=", f":{PORT}").splitlines()
        return [int(line.split()[2].rsplit(":", 1)[1]) for line in lines]

    def slow(self, side, rate):
        """Lets so much through between a side and the router, in each direction."""
        for place, device in [("router", side), (side, "cable")]:
            done("tc", "-n", self.prefix + place, "qdisc", "add", "dev", device, "root", "tbf", "rate", rate,
                 "burst", "4kb", "latency", "500ms")
            self.shaped.append((place, device))

    def sent(self, side):
        """Bytes that a side has sent."""
        with_counts = done("ip", "-n", self.prefix + side, "-s", "-o", "link", "show", "cable")
        return int(with_counts.split("TX:")[1].split("\\")[1].split()[0])

    def narrow(self, side):
        """The way to a side has a lower limit of bytes per packet than its ends know, and nobody says so: a black hole for
        large packets."""
        # First, so that no end hears of the limit.
        self.rule("icmp type destination-unreachable counter drop", "own")
        done("ip", "-n", self.prefix + "router", "link", "set", side, "mtu", "600")

    def heal(self):
        """Ends all faults."""
        for chain in ["way", "own"]:
            done(*self.at("router"), "nft", "flush", "chain", "ip", "faults", chain)
        for place, device in self.shaped:
            done("tc", "-n", self.prefix + place, "qdisc", "del", "dev", device, "root")
        self.shaped = []
        for side in SIDES:
            done("ip", "-n", self.prefix + "router", "link", "set", side, "mtu", "1500")
            self.cable(side, plugged=True)
