"""Writes the tables of the federation in docker-compose.yml: customers who do not exist, the same on every machine.

python3 make.py
"""

import math
import random

CUSTOMERS = 1200
NEW_CUSTOMERS = 40
COLUMNS = {
    "bank": ["age", "income", "balance", "overdrafts"],
    "telecom": ["contract_months", "monthly_bill", "late_payments", "data_gb"],
    "shop": ["orders", "basket", "returns", "vouchers"],
}

draws = random.Random(2512)


def customer():
    """The columns of each organisation, and whether the customer defaulted."""
    thrift, order, calm = draws.gauss(0, 1), draws.gauss(0, 1), draws.gauss(0, 1)
    columns = {
        "bank": [
            round(min(max(draws.gauss(44 + 4 * thrift, 13), 18), 84)),
            round(1900 * math.exp(0.35 * draws.gauss(0, 1) + 0.15 * thrift)),
            round(1200 + 1500 * thrift + draws.gauss(0, 700)),
            max(0, round(draws.gauss(2.5 - 1.8 * thrift, 1))),
        ],
        "telecom": [
            round(min(max(draws.gauss(30 + 11 * order, 12), 1), 96)),
            round(max(28 + draws.gauss(0, 7) - 3 * order, 5), 2),
            max(0, round(draws.gauss(2.5 - 1.8 * order, 1))),
            round(max(draws.gauss(11, 5), 0), 1),
        ],
        "shop": [
            max(0, round(draws.gauss(12 - 2 * calm, 4))),
            round(max(60 - 9 * calm + draws.gauss(0, 18), 3), 2),
            max(0, round(draws.gauss(2.5 - 1.8 * calm, 1))),
            max(0, round(draws.gauss(3, 2))),
        ],
    }
    defaulted = draws.random() < 1 / (1 + math.exp(1.6 + 2 * thrift + 2 * order + 2 * calm))
    return columns, int(defaulted)


def write(name, header, rows):
    with open(name, "w", encoding="utf-8", newline="\n") as file:
        for row in [header, *rows]:
            file.write(",".join(str(cell) for cell in row) + "\n")


def tables(ending, first, count):
    """The same customers in the same order in each table."""
    customers = [(f"c{number}", *customer()) for number in range(first, first + count)]
    for party, names in COLUMNS.items():
        rows = [[name, *columns[party]] for name, columns, _ in customers]
        write(f"{party}/customers{ending}.csv", ["customer_id", *names], rows)
    return customers


known = tables("", 1001, CUSTOMERS)
write("coordinator/labels.csv", ["customer_id", "defaulted"], [[name, label] for name, _, label in known])
new = tables("-new", 5001, NEW_CUSTOMERS)
write("coordinator/customers-new.csv", ["customer_id"], [[name] for name, _, _ in new])
