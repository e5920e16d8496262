//! Permissions that change while a coordinator is up.

use crate::fixture::{Fixture, PARTIES};
use crate::predict::serving;
use crate::proxy::Proxy;
use crate::secured::secured;

#[test]
fn a_party_whose_permission_was_withdrawn_is_not_let_in_again_without_a_restart() {
    let mut fixture = secured();
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    fixture.write("permissions.toml", "[parties.bank]\n[parties.telecom]\n");
    fixture.run();
    let (mut coordinator, address) = fixture.serve();
    let [mut bank, mut telecom] = serving(&fixture, &coordinator, &address);
    bank.terminate();
    bank.succeeds();
    fixture.write("permissions.toml", "[parties.telecom]\n");
    let error = fixture.party_serves("bank", &address).fails();
    assert!(error.contains("bank may not serve here any more"), "{error}");
    fixture.write("permissions.toml", "[parties.bank]\n[parties.telecom]\n# as before\n");
    let mut bank = fixture.party_serves("bank", &address);
    coordinator.wait_for("\"joined\",\"party\":\"bank\"");
    for role in [&mut bank, &mut telecom, &mut coordinator] {
        role.terminate();
        role.succeeds();
    }
    // The trail has what was in force when, and who was refused.
    let trail = fixture.read("label-ledger.audit/log.jsonl");
    assert_eq!(trail.matches("\"permissions-changed\"").count(), 4, "{trail}");
    assert!(trail.contains("not-permitted"), "{trail}");
}

#[test]
fn a_run_that_is_interrupted_waits_for_a_party_whose_permission_was_withdrawn_meanwhile() {
    let mut fixture = Fixture { on_interruption: "wait", ..secured() };
    fixture.settings.epochs = 60;
    fixture.extra.push(("coordinator", "permissions = \"permissions.toml\"".into()));
    fixture.write("permissions.toml", "[parties.bank]\n[parties.telecom]\n");
    let (mut coordinator, address) = fixture.coordinator();
    let proxy = Proxy::to(&address);
    let [mut bank, mut telecom] = PARTIES.map(|name| fixture.party(name, &proxy.address));
    coordinator.wait_for("\"epoch\":2,");
    fixture.write("permissions.toml", "[parties.telecom]\n");
    bank.kill();
    // It does not end: it gathers its parties again.
    proxy.lead_to(&coordinator.listens());
    coordinator
        .wait_for_log("does not let bank join in run test: add it to [parties.bank]; the run has begun");
    let error = fixture.party("bank", &proxy.address).fails();
    assert!(error.contains("bank may not join here any more"), "{error}");
    telecom.wait_for_log("bank (which was refused: the coordinator's permissions do not let it in)");
    fixture.write("permissions.toml", "[parties.bank]\n[parties.telecom]\n");
    let mut bank = fixture.party("bank", &proxy.address);
    for role in [&mut coordinator, &mut bank, &mut telecom] {
        role.succeeds();
    }
}
