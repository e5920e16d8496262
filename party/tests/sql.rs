//! A party whose columns come from a query: what its binary checks, and refuses.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hashvfl_core::Digest;
use hashvfl_data::Order;

fn check(folder: &Path, query: &str) -> Output {
    let config = folder.join("party.toml");
    let text = format!(
        r#"
        name = "bank"
        run_id = "r"
        coordinator = "http://127.0.0.1:1"
        state = "state"
        missing = "fill"
        order = "order.csv"

        [run]
        parties = ["bank"]
        task = "binary"
        bits = 16
        epochs = 3

        [columns]
        format = "sql"
        query = "{query}"
        id = "customer"

        [columns.tables]
        customers = {{ location = "customers.csv" }}
        visits = {{ location = "visits", format = "json" }}
        "#
    );
    fs::write(&config, text).unwrap();
    let party = Command::new(env!("CARGO_BIN_EXE_party")).arg("--config").arg(config).arg("--check").output();
    party.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A bank with 50 customers, 40 of which are in the agreed order.
fn bank(folder: &Path) {
    let customers: String =
        (0..50).map(|i| format!("k{i},{},{}\n", i % 7, ["clerk", "cook"][i % 2])).collect();
    fs::write(folder.join("customers.csv"), format!("id,age,job\n{customers}")).unwrap();
    fs::create_dir(folder.join("visits")).unwrap();
    let visits: String =
        (0..90).map(|i| format!("{{\"id\": \"k{}\", \"minutes\": {i}.5}}\n", i % 45)).collect();
    fs::write(folder.join("visits/2025.json"), visits).unwrap();
    agree(folder, None);
}

/// Writes the agreed order of 40 customers, of a table of this fingerprint.
fn agree(folder: &Path, fingerprint: Option<Digest>) {
    let ids = (0..40).rev().map(|i| format!("k{i}")).collect();
    fs::write(folder.join("order.csv"), Order::new(ids, fingerprint).to_bytes()).unwrap();
}

const QUERY: &str = "SELECT c.id AS customer, c.age, c.job, AVG(v.minutes) AS minutes \
                     FROM customers c LEFT JOIN visits v ON v.id = c.id GROUP BY c.id, c.age, c.job";

#[cfg(feature = "sql")]
#[test]
fn a_query_is_checked_with_the_agreed_order() {
    let folder = tempfile::tempdir().unwrap();
    bank(folder.path());
    let good = check(folder.path(), QUERY);
    assert!(good.status.success(), "{}", text(&good.stderr));
    // Two numbers, and a column for each of two jobs.
    assert!(text(&good.stdout).contains("40 records, 4 columns"), "{}", text(&good.stdout));

    for (query, expected) in [
        (QUERY.replace("c.age,", "c.agee,"), "agee"),
        (QUERY.replace("AVG(v.minutes)", "ARROW_CAST(AVG(v.minutes), 'Date32')"), "minutes"),
        (QUERY.replace("GROUP BY", "WHERE c.age > 0 GROUP BY"), "lacks 6 of the 40 records"),
        ("DROP TABLE customers".to_owned(), "the query: "),
        (
            "SELECT c.id AS customer, v.minutes FROM customers c JOIN visits v ON v.id = c.id".to_owned(),
            "45 of the query's records repeat",
        ),
    ] {
        let refused = check(folder.path(), &query);
        let message = text(&refused.stderr);
        assert!(!refused.status.success() && message.contains(expected), "{query}: {message}");
    }
    assert!(!folder.path().join("state").exists(), "--check writes nothing");
}

#[cfg(feature = "sql")]
#[test]
fn what_changed_since_the_alignment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    bank(folder.path());
    agree(folder.path(), Some(Digest([0; 32])));
    let refused = check(folder.path(), QUERY);
    let message = text(&refused.stderr);
    assert!(!refused.status.success() && message.contains("changed since"), "{message}");
}

#[cfg(not(feature = "sql"))]
#[test]
fn without_the_feature_a_query_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    bank(folder.path());
    let refused = check(folder.path(), QUERY);
    assert!(!refused.status.success() && text(&refused.stderr).contains("feature `sql`"));
}
