"""Faults of a network that last: no side hangs longer than its limit and 10 s, and each says in one line who, where, what to do."""

import time

from checks import wait_until
from namespaces import HOST, PORT


def a_cut_longer_than_the_limit_ends_all(test):
    """The bank's cable stays out, and nobody waits (`on_interruption`): silence is found after twice `keep_alive_s`."""
    run = test.disturbed(timeouts={"keep_alive_s": 2, "reconnect_s": 5}, on_interruption="stop")
    test.network.cable("bank", plugged=False)
    limit_s = 2 * 2 + 5
    run.coordinator.fails(limit_s, "lost bank", r"within 5 s \(timeouts.reconnect_s", "start again every side that has ended")
    run.telecom.fails(limit_s, "the run has ended", "lost bank", "start again every side that has ended")
    run.bank.fails(limit_s, r"could not reconnect within 5 s \(timeouts.reconnect_s", "is the coordinator still running")


def a_one_way_partition_longer_than_the_limit_ends_all(test):
    run = test.disturbed(timeouts={"keep_alive_s": 2, "reconnect_s": 5}, on_interruption="stop")
    test.network.drop("coordinator", "bank")
    limit_s = 2 * 2 + 5
    run.coordinator.fails(limit_s, "lost bank", r"within 5 s \(timeouts.reconnect_s", "start again every side that has ended")
    run.telecom.fails(limit_s, "the run has ended", "lost bank", "start again every side that has ended")
    run.bank.fails(limit_s, r"could not reconnect within 5 s \(timeouts.reconnect_s", "is the coordinator still running")


def the_coordinators_cut_longer_than_the_limit_ends_all(test):
    run = test.disturbed(timeouts={"keep_alive_s": 2, "reconnect_s": 5}, on_interruption="stop")
    test.network.cable("coordinator", plugged=False)
    limit_s = 2 * 2 + 5
    run.coordinator.fails(limit_s, "lost (bank|telecom)", r"within 5 s \(timeouts.reconnect_s", "start again every side that has ended")
    for party in (run.bank, run.telecom):
        party.fails(limit_s, r"could not reconnect within 5 s \(timeouts.reconnect_s", "is the coordinator still running")


def large_packets_that_stay_lost_end_all(test):
    """New connections open and get no further than a certificate."""
    run = test.disturbed(timeouts={"keep_alive_s": 2, "reconnect_s": 5}, on_interruption="stop")
    test.network.narrow("bank")
    limit_s = 2 * 2 + 5
    run.coordinator.fails(limit_s, "lost bank", r"within 5 s \(timeouts.reconnect_s", "start again every side that has ended")
    run.telecom.fails(limit_s, "the run has ended", "lost bank", "start again every side that has ended")
    run.bank.fails(limit_s, r"could not reconnect within 5 s \(timeouts.reconnect_s", "is the coordinator still running")


def a_coordinator_that_does_not_come_back_is_waited_for_up_to_the_limit(test):
    timeouts = {"keep_alive_s": 1, "reconnect_s": 3, "start_s": 10, "connect_s": 10}
    run = test.disturbed(timeouts=timeouts)
    run.coordinator.kill()
    test.network.cable("coordinator", plugged=False)
    for party in (run.bank, run.telecom):
        party.fails(2 * 1 + 3 + 10, "waited 10 s for the coordinator", f"no coordinator at http://{HOST}:{PORT} within", "is it running")


def first_contact(test, limit_s, *words):
    """A party that never reaches its coordinator says so."""
    federation = test.federation(timeouts={"connect_s": limit_s})
    federation.start("bank").fails(limit_s, *words)


def nobody_listens(test):
    first_contact(test, 5, f"no coordinator at http://{HOST}:{PORT} within 5 s", "refused", "is it running, and is the address correct")


def no_packet_arrives(test):
    test.network.drop("bank", "coordinator")
    first_contact(test, 5, f"no coordinator at http://{HOST}:{PORT} within 5 s", "is it running, and is the address correct")


def no_packet_comes_back(test):
    test.network.drop("coordinator", "bank")
    first_contact(test, 5, f"no coordinator at http://{HOST}:{PORT} within 5 s", "is it running, and is the address correct")


def no_name_server_answers(test):
    test.network.name(HOST, None)
    try:
        first_contact(test, 5, f"no coordinator at http://{HOST}:{PORT} within 5 s", "is it running, and is the address correct")
    finally:
        test.network.name(HOST, "10.77.0.2")


def a_network_that_is_late_is_waited_for(test):
    """Cables are out and nobody listens when parties start; all finish once they are in."""
    federation = test.federation(timeouts={"connect_s": 60})
    for side in ("coordinator", "bank"):
        test.network.cable(side, plugged=False)
    parties = [federation.start(party) for party in ("bank", "telecom")]
    for party in parties:
        party.has_said(15, f"no coordinator at http://{HOST}:{PORT} yet; trying for 60 s")
    coordinator = federation.start("coordinator")
    time.sleep(5)
    test.network.heal()
    for party in parties:
        took = wait_until(40, "a party to join", lambda: f'"party":"{party.name}"' in coordinator.out(), party.last)
        print(f"   {party.name} joined {took:.1f} s later")
    for process in (coordinator, *parties):
        process.ends(federation.RUN_S)
