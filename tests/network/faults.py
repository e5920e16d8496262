"""Faults of a network after which a run has the bits of one that nobody disturbed."""

import os
import signal
import sys
import time

from checks import fail
from namespaces import PARTIES, PORT, address, gateway

# The same in both directions.
BOTH = [("coordinator", "bank"), ("bank", "coordinator")]
# Runs of seconds have checkpoints, too.
OFTEN = {"coordinator": "checkpoint_every_s = 1"}


def packets_are_lost(test):
    """A fifth of all packets of the bank, in both directions, for 15 s."""
    run = test.disturbed()
    for way in BOTH:
        test.network.drop(*way, "numgen random mod 5 == 0")
    time.sleep(15)
    lost = test.network.dropped()
    print(f"   {lost} packets were dropped")
    if lost < 10:
        fail("the fault is none")
    run.heal()
    run.finishes()


def a_link_is_slow(test):
    """16 kilobit per second to and from the telecom, for 20 s."""
    run = test.disturbed()
    before, sent = run.coordinator.epoch(), test.network.sent("telecom")
    test.network.slow("telecom", "16kbit")
    time.sleep(20)
    epochs, rate = run.coordinator.epoch() - before, (test.network.sent("telecom") - sent) / 20
    print(f"   {epochs} epochs in 20 s, {rate:.0f} bytes per second up")
    if rate > 1.5 * 16_000 / 8:
        fail("the fault is none")
    run.heal()
    run.finishes()


def a_way_is_long(test):
    """A relay that delays the bank's messages by 100 ms in each direction, for 15 s."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay.py")
    command = [sys.executable, script, gateway("bank"), str(PORT), address("coordinator"), str(PORT), "100"]
    run = test.disturbed(lambda federation: federation.beside("router", "relay", *command),
                         dials={"bank": f"{gateway('bank')}:{PORT}"})
    run.prepared.child.send_signal(signal.SIGUSR1)
    time.sleep(1)
    before = run.coordinator.epoch()
    time.sleep(14)
    epochs = run.coordinator.epoch() - before
    print(f"   {epochs} epochs in 14 s")
    # Each of an epoch's five batches waits for a round trip.
    if epochs > 14 / (5 * 0.2) + 1:
        fail("the fault is none")
    run.prepared.child.send_signal(signal.SIGUSR2)
    run.goes_on()
    run.finishes()


def a_partys_cable_is_pulled_for_60_s(test):
    run = test.disturbed()
    test.network.cable("bank", plugged=False)
    run.stands_still(60)
    run.heal()
    run.finishes(returned=["bank"])


def a_partys_interface_is_down_for_60_s(test):
    """The party's own system says that there is no way."""
    run = test.disturbed()
    test.network.interface("bank", up=False)
    run.stands_still(60)
    test.network.interface("bank", up=True)
    run.goes_on()
    run.finishes(returned=["bank"])


def the_coordinators_cable_is_pulled_for_60_s(test):
    run = test.disturbed()
    test.network.cable("coordinator", plugged=False)
    run.stands_still(60)
    run.heal()
    run.finishes(returned=PARTIES)


def nothing_comes_to_a_party_for_60_s(test):
    """A partition in one direction."""
    run = test.disturbed()
    test.network.drop("coordinator", "bank")
    run.stands_still(60)
    run.heal()
    run.finishes(returned=["bank"])


def nothing_comes_from_a_party_for_60_s(test):
    """In the other one."""
    run = test.disturbed()
    test.network.drop("bank", "coordinator")
    run.stands_still(60)
    run.heal()
    run.finishes(returned=["bank"])


def a_firewall_forgets_a_connection(test):
    """What there is of it is dropped for good, and nobody is told; others are let through."""
    run = test.disturbed(timeouts={"keep_alive_s": 3})
    ports = test.network.source_ports("bank")
    if len(ports) != 1:
        fail(f"the bank has {len(ports)} connections")
    test.network.drop("bank", "coordinator", f"tcp sport {ports[0]}")
    test.network.drop("coordinator", "bank", f"tcp dport {ports[0]}")
    # Twice the silence after which a sign of life is asked for, and a new connection.
    took = run.goes_on()
    if took > 2 * 3 + 10:
        fail(f"it took {took:.1f} s")
    run.finishes(returned=["bank"])


def a_firewall_refuses_a_party_for_10_s(test):
    """It answers with resets, to connections that there are and to new ones."""
    run = test.disturbed()
    for sender, receiver in BOTH:
        test.network.rule(f"ip saddr {address(sender)} ip daddr {address(receiver)} tcp flags & (fin|rst) == 0 counter "
                          "reject with tcp reset")
    run.stands_still(10)
    run.heal()
    run.finishes(returned=["bank"])


def large_packets_are_lost_for_20_s(test):
    """A black hole: a message of more than 600 bytes never arrives, and signs of life wait behind it."""
    run = test.disturbed(timeouts={"keep_alive_s": 3})
    test.network.narrow("bank")
    run.stands_still(20)
    run.heal()
    run.finishes(returned=["bank"])


def a_cut_of_10_minutes(test):
    """By default all sides wait longer than that."""
    run = test.disturbed()
    test.network.cable("bank", plugged=False)
    run.stands_still(600)
    run.heal()
    run.finishes(returned=["bank"])


def a_cut_of_10_minutes_where_parties_may_be_away_for_5(test):
    """It is longer than `timeouts.reconnect_s`: the run goes on from a checkpoint."""
    run = test.disturbed(timeouts={"reconnect_s": 300}, lines=OFTEN)
    run.has_checkpoint()
    test.network.cable("bank", plugged=False)
    run.stands_still(600)
    run.heal()
    run.finishes(checkpoint=True)


def a_cut_longer_than_the_limit_is_waited_for(test):
    run = test.disturbed(timeouts={"keep_alive_s": 1, "reconnect_s": 3}, lines=OFTEN)
    run.has_checkpoint()
    test.network.cable("bank", plugged=False)
    run.stands_still(25)
    run.heal()
    run.finishes(checkpoint=True)


def a_cut_longer_than_a_step_may_take(test):
    """The telecom waits for its next request as long as the bank may be away, which is longer than its `timeouts.step_s`."""
    run = test.disturbed(timeouts={"keep_alive_s": 1, "reconnect_s": 60, "step_s": 8})
    test.network.cable("bank", plugged=False)
    run.stands_still(20)
    run.heal()
    run.finishes(returned=["bank"])


def the_coordinators_machine_is_gone(test):
    """Its process is killed and its cable pulled, for HASHVFL_GONE_S seconds (60): 3600 is an hour. Limits in which parties try to
    come back are a twelfth of that."""
    gone_s = int(os.environ.get("HASHVFL_GONE_S", "60"))
    run = test.disturbed(timeouts={"reconnect_s": gone_s // 12, "keep_alive_s": 1}, lines=OFTEN)
    run.has_checkpoint()
    test.network.cable("coordinator", plugged=False)
    run.coordinator.kill()
    time.sleep(gone_s)
    for party in (run.bank, run.telecom):
        if not party.runs():
            fail(f"a party does not wait: {party.last()}")
    test.network.heal()
    run.coordinator = run.processes[0] = run.federation.start("coordinator", tag="-again")
    began = time.monotonic()
    run.coordinator.has_said(60, "the run continues from a checkpoint")
    print(f"   goes on {time.monotonic() - began:.1f} s after its start")
    run.finishes(checkpoint=True)
