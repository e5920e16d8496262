"""Each check fails where what it looks for is not there."""

from checks import Failed, fail
from federation import same


def must_fail(what, check):
    try:
        check()
    except Failed as failed:
        print(f"   {what}: {str(failed)[:110]}")
        return
    fail(f"nobody notices {what}")


def checks_can_fail(test):
    # The telecom draws other weights.
    other = test.federation(seeds={"telecom": 8})
    coordinator, bank, telecom = other.start_all()
    must_fail("a run that stands still", lambda: coordinator.reaches(10**6, 2))
    for process in (coordinator, bank, telecom):
        process.ends(other.RUN_S)
    found = other.outcome()
    # Codes are kept under a name that hangs on the weights; the bank's weights hang on gradients, and so on the telecom's.
    for name, value in test.expected.items():
        if found.get(name) == value and not name.startswith("ledger"):
            fail(f"{name} is the same with another seed: it shows nothing")
    must_fail("other weights", lambda: same(found, test.expected))
    must_fail("one other weight", lambda: same({**test.expected, "weights of bank": "1"}, test.expected))
    must_fail("a ledger that counts otherwise", lambda: same({**test.expected, "ledger of bank": ""}, test.expected))
    must_fail("a file that is missing", lambda: same({}, test.expected))
    must_fail("a line that nobody says", lambda: bank.has_said(1, "back after"))
    must_fail("a good end in place of a bad one", lambda: bank.fails(1, "lost"))

    short = test.federation(timeouts={"connect_s": 2})
    bank = short.start("bank")
    must_fail("a limit that is not kept", lambda: bank.ends(1, code=1))
    bank.fails(2, "no coordinator")
    must_fail("another exit code", lambda: bank.ends(1, code=130))
    must_fail("another line", lambda: bank.fails(1, "telecom"))
    bank.kill()

    run = test.disturbed()
    must_fail("a fault that is none", lambda: run.stands_still(4))
    must_fail("a party that does not come back", lambda: run.finishes(returned=["bank"]))
    must_fail("a run from no checkpoint", lambda: run.finishes(checkpoint=True))
    run.finishes()
