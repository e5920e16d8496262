//! Permissions that change while a coordinator is up.

use crate::predict::serving;
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
