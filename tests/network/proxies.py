"""What may stand between a party and its coordinator: as docs/how-to/run-between-organisations.md configures it, and otherwise."""

import os
import re
import shutil
import time

from checks import fail, wait_until
from namespaces import HOST, PORT, address, done, gateway

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/how-to/run-between-organisations.md")
# What the page calls the coordinator's address.
INSIDE = "10.0.0.5"
# Debian's nginx loads its module for streams.
MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


def of_the_page(language, word):
    """The page's block of code that holds a word, with the coordinator's address here."""
    with open(PAGE, encoding="utf-8") as file:
        blocks = re.findall(rf"```{language}\n(.*?)```", file.read(), re.DOTALL)
    found = [block for block in blocks if word in block]
    if len(found) != 1:
        fail(f"the page has {len(found)} blocks of {language} with {word!r}")
    return found[0].replace(INSIDE, address("coordinator"))


def listens(network, place, port=PORT):
    return f":{port} " in done(*network.at(place), "ss", "-Hltn")


class Proxy:
    """A program between the bank and the coordinator that can be started again."""

    def __init__(self, federation, place, name, command):
        self.federation, self.place, self.name, self.command = federation, place, name, command
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        name = f"{self.name}-{self.starts}"
        self.process = self.federation.beside(self.place, name, *self.command)
        network = self.federation.network
        wait_until(10, f"{self.name} to listen", lambda: listens(network, self.place), self.process.last)

    def end(self):
        """Ends it with all connections."""
        self.process.kill()


def nginx(federation, name, config):
    """nginx at the router."""
    folder = federation.path(name)
    os.makedirs(folder)
    loads = f"load_module {MODULE};\n" if os.path.exists(MODULE) and "stream" in config else ""
    with open(f"{folder}/nginx.conf", "w") as file:
        file.write(f"{loads}pid {folder}/pid;\nerror_log stderr;\ndaemon off;\nmaster_process off;\nevents {{}}\n{config}")
    command = ["nginx", "-p", folder, "-c", f"{folder}/nginx.conf", "-e", "stderr"]
    return Proxy(federation, "router", name, command)


def goes_through(test, prepare, dials):
    """A run goes through what `prepare` starts, also where that is started anew in mid-training, after 5 s."""
    run = test.disturbed(prepare, dials={"bank": dials})
    run.prepared.end()
    run.stands_still(5)
    run.prepared.start()
    run.goes_on()
    run.finishes(returned=["bank"])


def nginx_passes_tcp_on(test):
    config = of_the_page("nginx", "proxy_pass")
    goes_through(test, lambda federation: nginx(federation, "nginx", config), f"{gateway('bank')}:{PORT}")


def socat_passes_tcp_on(test):
    command = of_the_page("sh", "socat").split()
    goes_through(test, lambda federation: Proxy(federation, "router", "socat", command), f"{gateway('bank')}:{PORT}")


def ssh_passes_tcp_on(test):
    """The bank's own ssh listens at its loopback address, and goes through a machine that reaches the coordinator."""
    command = of_the_page("sh", "ssh -N").split()

    def prepare(federation):
        key, server = federation.path("ssh-key"), federation.path("ssh-server-key")
        for path in (key, server):
            done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
        shutil.copy(f"{key}.pub", federation.path("authorized_keys"))
        # Its user is whoever runs this test.
        federation.write("sshd.conf", f"Port 22\nListenAddress {gateway('bank')}\nHostKey {server}\nPidFile none\nStrictModes no\n"
                         f"AuthorizedKeysFile {federation.path('authorized_keys')}\nPermitRootLogin yes\nUsePAM no\n")
        os.makedirs("/run/sshd", exist_ok=True)
        federation.beside("router", "sshd", shutil.which("sshd"), "-D", "-e", "-f", federation.path("sshd.conf"))
        wait_until(10, "sshd to listen", lambda: listens(federation.network, "router", 22))
        options = ["-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        return Proxy(federation, "bank", "ssh", [command[0], *options, *command[1:-1], gateway("bank")])

    goes_through(test, prepare, f"127.0.0.1:{PORT}")


def refused_by(test, config, *words):
    """A party behind a proxy that does more than to pass TCP on says in one line what is wrong, at its first contact."""
    federation = test.federation(timeouts={"connect_s": 5}, dials={"bank": f"{gateway('bank')}:{PORT}"})
    done("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=proxy", "-days", "2",
         "-keyout", federation.path("proxy-key.pem"), "-out", federation.path("proxy.pem"))
    nginx(federation, "nginx", config.format(port=PORT, inside=f"{address('coordinator')}:{PORT}", folder=federation.folder))
    coordinator = federation.start("coordinator")
    wait_until(30, "the coordinator to listen", lambda: '"listening"' in coordinator.out(), coordinator.last)
    federation.start("bank").fails(5, f"{gateway('bank')}:{PORT}", *words)


ENDS_TLS = """http {{ access_log off; server {{ listen {port} ssl http2; ssl_protocols PROTOCOL; ssl_certificate {folder}/proxy.pem;
    ssl_certificate_key {folder}/proxy-key.pem; location / {{ grpc_pass grpc://{inside}; }} }} }}"""


def a_proxy_that_ends_tls_is_named(test):
    """By the certificate that it shows."""
    refused_by(test, ENDS_TLS.replace("PROTOCOL", "TLSv1.3"), "authority|certificate", "proxy")


def a_proxy_of_an_older_tls_is_named(test):
    refused_by(test, ENDS_TLS.replace("PROTOCOL", "TLSv1.2"), "proxy")


def a_web_server_is_named(test):
    refused_by(test, "http {{ access_log off; server {{ listen {port}; location / {{ proxy_pass http://{inside}; }} }} }}", "TLS")


def nothing_behind_a_proxy_is_waited_for(test):
    """nginx passes TCP on, and the coordinator is not there: its connections are closed again and again."""
    federation = test.federation(timeouts={"connect_s": 5}, dials={"bank": f"{gateway('bank')}:{PORT}"})
    nginx(federation, "nginx", of_the_page("nginx", "proxy_pass"))
    federation.start("bank").fails(5, f"{gateway('bank')}:{PORT} within 5 s", "is it running")
