"""A run whose network gets a fault in mid-training."""

import os
import time

from checks import fail, wait_until
from federation import Federation, same

# Epochs of all runs, and the one at which a fault comes.
EPOCHS = 600
EPOCH = 20
# Longest time of two epochs when the network is good again: a party dials again after 5 s at most, its system's own attempts
# come after twice as long each time.
BACK_S = 60


class Test:
    """A network, federations in it, and what a run gives that nobody disturbs."""

    def __init__(self, network, keep):
        self.network, self.keep = network, keep
        self.federations, self.expected = [], None

    def federation(self, epochs=EPOCHS, **settings):
        federation = Federation(self.network, epochs, **settings)
        self.federations.append(federation)
        return federation

    def disturbed(self, prepare=None, **settings):
        return Disturbed(self, prepare, **settings)

    def clean_up(self):
        self.network.heal()
        for federation in self.federations:
            federation.remove(self.keep)
        self.federations = []


class Disturbed:
    """A run in mid-training. Of what `prepare` starts before, nothing ends by itself."""

    def __init__(self, test, prepare, **settings):
        self.network, self.expected = test.network, test.expected
        self.federation = test.federation(**settings)
        self.prepared = prepare(self.federation) if prepare else None
        self.processes = self.federation.start_all()
        self.coordinator, self.bank, self.telecom = self.processes
        self.coordinator.reaches(EPOCH)

    def has_checkpoint(self):
        """Waits until there is one at the coordinator, which then all have."""
        state = self.federation.path("coordinator-state")
        wait_until(60, "a checkpoint", lambda: any(name.startswith("resume-") for name in os.listdir(state)), self.coordinator.last)

    def stands_still(self, seconds):
        """Waits so long; fails if the run goes on meanwhile."""
        # What is on its way when the fault begins may still arrive.
        time.sleep(1)
        before = self.coordinator.epoch()
        time.sleep(seconds - 1)
        if self.coordinator.epoch() != before:
            fail(f"the run went on, from epoch {before} to {self.coordinator.epoch()}: the fault is none")

    def goes_on(self, limit_s=BACK_S):
        """Waits until the run is two epochs further, and has not ended; how long that takes."""
        before, began = self.coordinator.epoch(), time.monotonic()
        self.coordinator.reaches(before + 2, limit_s)
        if not self.coordinator.runs():
            fail("the run has ended before its fault did")
        took = time.monotonic() - began
        print(f"   goes on {took:.1f} s after the end of the fault, at epoch {before}")
        return took

    def heal(self):
        self.network.heal()
        return self.goes_on()

    def finishes(self, returned=(), checkpoint=False):
        """All end well with the same bits. These parties have come back, and no others; nobody has gone back to a checkpoint, or
        all have."""
        for process in self.processes:
            process.ends(self.federation.RUN_S)
        for party in (self.bank, self.telecom):
            back = "back after" in party.log()
            if back != (party.name in returned):
                fail(f"{party.name} {'came' if back else 'did not come'} back: {party.last()}")
        for process in self.processes:
            if ("the run continues from a checkpoint" in process.log()) != checkpoint:
                fail(f"{process.name} went on from a checkpoint, or from none: {process.last()}")
        same(self.federation.outcome(), self.expected)
