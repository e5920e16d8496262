//! What is printed of the pairs.

use hashvfl_benches::students_t::{half_width, mean};
use hashvfl_files::say;

use crate::pair::Pair;
use crate::stranger::{Stranger, Target};

/// Strangers that came at the same time, and what they cost.
pub struct Row {
    /// The strangers.
    pub strangers: Vec<Stranger>,
    /// Round by round.
    pub pairs: Vec<Pair>,
}

fn names(strangers: &[Stranger]) -> String {
    strangers.iter().map(|stranger| stranger.name()).collect::<Vec<_>>().join("+")
}

fn target(target: Target) -> &'static str {
    match target {
        Target::TrainingOverTls => "run, TLS",
        Target::Training => "run, plain",
        Target::Serving => "serve, plain",
    }
}

/// Prints one pair.
pub fn tell(strangers: &[Stranger], round: usize, pair: &Pair) {
    say!(
        "{}, round {}: {:.0} s with {:.0} connections opened per second; the coordinator's processor time {:.2} s, \
         flooded {:.2} s; memory {:.1} MB, flooded {:.1} MB",
        names(strangers),
        round + 1,
        pair.seconds,
        pair.opened_per_second,
        pair.quiet.processor_s,
        pair.flooded.processor_s,
        pair.quiet.peak_bytes / 1e6,
        pair.flooded.peak_bytes / 1e6
    );
    if pair.failed > 0 {
        say!("  {} connections could not be opened: check `ulimit -n`", pair.failed);
    }
}

/// Prints a table with a line for all that came at the same time: means over pairs, of processor time by the undisturbed with
/// its interval of 95 %, of memory above the undisturbed the most.
pub fn print(rows: &[Row]) {
    say!(
        "{:<22} {:<13} {:>6} {:>9} {:>17} {:>11} {:>13} {:>5}",
        "strangers",
        "target",
        "held",
        "opened/s",
        "processor time",
        "memory, MB",
        "log, bytes/s",
        "same"
    );
    for Row { strangers, pairs } in rows {
        let of = |figure: fn(&Pair) -> f64| pairs.iter().map(figure).collect::<Vec<f64>>();
        let ratios = of(Pair::ratio);
        let interval = half_width(&ratios).map_or_else(String::new, |half| format!(" ± {half:.3}"));
        let most = of(Pair::more_megabytes).into_iter().fold(f64::NEG_INFINITY, f64::max);
        say!(
            "{:<22} {:<13} {:>6.0} {:>9.0} {:>17} {:>11.1} {:>13.0} {:>5}",
            names(strangers),
            target(strangers[0].target()),
            mean(&of(|pair| pair.held)),
            mean(&of(|pair| pair.opened_per_second)),
            format!("{:.3}{interval}", mean(&ratios)),
            most,
            mean(&of(Pair::more_log_per_second)),
            if pairs.iter().all(|pair| pair.same) { "yes" } else { "NO" }
        );
    }
}
