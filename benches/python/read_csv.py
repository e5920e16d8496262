"""Reads a CSV file with DuckDB and with pandas: seconds and MB/s of each, the median of three rounds.

python benches/python/read_csv.py FOLDER/credit.csv
"""

import os
import statistics
import sys
import time

import duckdb
import pandas

path = sys.argv[1]
megabytes = os.path.getsize(path) / 1e6


def with_duckdb():
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.execute(f"CREATE TABLE t AS SELECT * FROM read_csv('{path}')")
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def with_pandas():
    return len(pandas.read_csv(path))


for name, read in (("duckdb", with_duckdb), ("pandas", with_pandas)):
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        rows = read()
        seconds.append(time.perf_counter() - begun)
    middle = statistics.median(seconds)
    print(f"{name}: {rows} rows, {middle:.1f} s, {megabytes / middle:.0f} MB/s")
