"""Writes the tutorial's tables: customers who do not exist, the same on every machine.

python3 make.py
"""

import math
import random

CUSTOMERS = 800
NEW_CUSTOMERS = 40

draws = random.Random(2212)


def customer():
    """Columns of the bank, columns of the telecom, and whether the customer defaulted."""
    thrift, order = draws.gauss(0, 1), draws.gauss(0, 1)
    bank = [
        round(min(max(draws.gauss(44 + 4 * thrift, 13), 18), 84)),
        round(1900 * math.exp(0.35 * draws.gauss(0, 1) + 0.15 * thrift)),
        round(1200 + 1500 * thrift + draws.gauss(0, 700)),
        max(0, round(draws.gauss(2.5 - 1.8 * thrift, 1))),
    ]
    telecom = [
        round(min(max(draws.gauss(30 + 11 * order, 12), 1), 96)),
        round(max(28 + draws.gauss(0, 7) - 3 * order, 5), 2),
        max(0, round(draws.gauss(2.5 - 1.8 * order, 1))),
        round(max(draws.gauss(11, 5), 0), 1),
    ]
    defaulted = draws.random() < 1 / (1 + math.exp(1.6 + 2.2 * thrift + 2.2 * order))
    return bank, telecom, int(defaulted)


def write(name, header, rows):
    with open(name, "w", encoding="utf-8", newline="\n") as file:
        for row in [header, *rows]:
            file.write(",".join(str(cell) for cell in row) + "\n")


def tables(ending, first, count):
    """The same customers in the same order in each table."""
    customers = [(f"c{number}", *customer()) for number in range(first, first + count)]
    bank = ["customer_id", "age", "income", "balance", "overdrafts"]
    telecom = ["customer_id", "contract_months", "monthly_bill", "late_payments", "data_gb"]
    write(f"bank{ending}.csv", bank, [[name, *columns] for name, columns, _, _ in customers])
    write(f"telecom{ending}.csv", telecom, [[name, *columns] for name, _, columns, _ in customers])
    return customers


known = tables("", 1001, CUSTOMERS)
write("labels.csv", ["customer_id", "defaulted"], [[name, label] for name, _, _, label in known])
tables("-new", 5001, NEW_CUSTOMERS)
