"""openmined-psi beside `--bin alignment -- run`: both roles' work on one machine, wall clock.

    python3 -m venv venv && venv/bin/pip install openmined-psi
    venv/bin/python benches/python/openmined.py 1000000

Two processes, one a role, as far as the protocol lets them work at the same time: the client's request and the
server's setup are made at once, the server's answer and the client's intersection one after the other. The container
is the exact one (`DataStructure.RAW`), and the ids are those of the Rust benchmark.
"""

import multiprocessing
import sys
import time

import private_set_intersection.python as psi


def server(pipe, rows):
    role = psi.server.CreateWithNewKey(True)
    ids = [f"customer-{i:012}" for i in range(rows // 2, rows // 2 + rows)]
    setup = role.CreateSetupMessage(0.0, rows, ids, psi.DataStructure.RAW)
    pipe.send_bytes(setup.SerializeToString())
    request = psi.Request()
    request.ParseFromString(pipe.recv_bytes())
    pipe.send_bytes(role.ProcessRequest(request).SerializeToString())


def main(rows):
    ids = [f"customer-{i:012}" for i in range(rows)]
    here, there = multiprocessing.Pipe()
    start = time.perf_counter()
    process = multiprocessing.Process(target=server, args=(there, rows))
    process.start()
    role = psi.client.CreateWithNewKey(True)
    request = role.CreateRequest(ids).SerializeToString()
    setup = psi.ServerSetup()
    setup.ParseFromString(here.recv_bytes())
    here.send_bytes(request)
    response = psi.Response()
    response.ParseFromString(here.recv_bytes())
    common = role.GetIntersection(setup, response)
    process.join()
    wall = time.perf_counter() - start
    print(f"{rows} x {rows}: {wall:.1f} s wall clock, {len(common)} common, openmined-psi {psi.__version__}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
