//! What a look of the gradient monitor over gradients costs: `cargo run --release -p hashvfl-benches --bin gradient_monitor`.

use std::time::Instant;

use hashvfl_core::CodeForm;
use hashvfl_core::gradient_monitor::{GradientMonitor, SeenBatch};
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;

const BITS: usize = 64;
const ROWS: usize = 256;
/// Of which the first 100 and one in eight of the later ones are looked at closely.
const BATCHES: usize = 500;
const LOOKS: usize = 150;

fn main() {
    let drawn = |what: &str| {
        let mut values = vec![0.0; ROWS * BITS];
        add_noise(&mut values, 1.0, &mut stream(0, what, &[]));
        values
    };
    let codes: Vec<f32> = drawn("codes").iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect();
    let (gradient, expected) = (drawn("gradient"), vec![0.0; ROWS * BITS]);
    let mut monitor = GradientMonitor::new(CodeForm::signs(BITS), ROWS, 0);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let batch = SeenBatch {
        begins_cycle: false,
        rows: &rows,
        codes: &codes,
        expected: &expected,
        gradient: &gradient,
    };
    let mut micros: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            monitor.observe(&batch);
            begun.elapsed().as_micros()
        })
        .collect();
    micros.sort_unstable();
    let [usual, look] = [BATCHES / 2, BATCHES - LOOKS / 2].map(|place| micros[place]);
    println!(
        "{BITS} bits, {ROWS} records: {usual} µs for a batch, {look} µs where it looks closely (medians)"
    );
}
