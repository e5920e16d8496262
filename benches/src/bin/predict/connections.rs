//! What TLS costs predictions: the same federation over TLS and in plain text, in turn, on records that are new each time.

use std::path::Path;
use std::time::Instant;

use hashvfl_files::say;
use hashvfl_testbed::federation;
use hashvfl_testbed::processes::{Configs, ServingFederation};
use hashvfl_testbed::statistics::median;

use crate::serve_those;
use crate::table::{self, Tables};

/// Prints records per second of both kinds, round by round, and the median of their ratios.
pub fn tell(
    records: usize,
    rounds: usize,
    out: &Path,
    tables: &Tables,
    secured: Configs,
) -> anyhow::Result<()> {
    tables.write_served(out, 2 * records * rounds)?;
    serve_those(&secured)?;
    let plain = in_plain_text(&secured)?;
    let client = out.join("client/identity").display().to_string();
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let mut rates = [0.0; 2];
        // Who is first changes from round to round.
        for place in [round % 2, (round + 1) % 2] {
            let serving = ServingFederation::start(if place == 0 { &secured } else { &plain })?;
            let begin = (2 * round + place) * records;
            let ids = out.join(format!("ids-{round}-{place}.parquet"));
            table::write_ids(&ids, begin..begin + records)?;
            let more = ["--identity", &client];
            let more = if place == 0 { &more[..] } else { &[] };
            let began = Instant::now();
            serving.predict(&ids, &out.join(format!("answer-{round}-{place}.parquet")), more)?;
            rates[place] = records as f64 / began.elapsed().as_secs_f64();
        }
        let [tls, plain] = rates;
        say!("round {}: over TLS {tls:.0} records/s, in plain text {plain:.0}", round + 1);
        ratios.push(tls / plain);
    }
    say!("TLS to plain text of the same round, median: {:.3}", median(ratios));
    Ok(())
}

/// The same configs in plain text, beside the others: one state, one ledger.
fn in_plain_text(secured: &Configs) -> anyhow::Result<Configs> {
    let copy = |config: &Path| {
        let plain = config.with_file_name("plain.toml");
        let text = std::fs::read_to_string(config)?;
        federation::write(&plain, &format!("insecure_plaintext = true\n{text}"))?;
        anyhow::Ok(plain)
    };
    let mut parties = Vec::new();
    for (name, config) in &secured.parties {
        parties.push((name.clone(), copy(config)?));
    }
    Ok(Configs { coordinator: copy(&secured.coordinator)?, parties })
}
