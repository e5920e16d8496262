//! What a look of the gradient monitor over gradients costs: `cargo run --release -p hashvfl-benches --bin gradient_monitor`.

use std::time::Instant;

use hashvfl_core::CodeForm;
use hashvfl_core::gradient_monitor::GradientMonitor;
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;

const BITS: usize = 64;
const ROWS: usize = 256;
const LOOKS: usize = 200;

fn main() {
    let drawn = |what: &str| {
        let mut values = vec![0.0; ROWS * BITS];
        add_noise(&mut values, 1.0, &mut stream(0, what, &[]));
        values
    };
    let codes: Vec<f32> = drawn("codes").iter().map(|value| if *value >= 0.0 { 1.0 } else { -1.0 }).collect();
    let (gradient, expected) = (drawn("gradient"), vec![0.0; ROWS * BITS]);
    let mut monitor = GradientMonitor::new(CodeForm::signs(BITS));
    let mut micros: Vec<u128> = (0..LOOKS)
        .map(|_| {
            let begun = Instant::now();
            monitor.observe(&codes, &expected, &gradient, ROWS);
            begun.elapsed().as_micros()
        })
        .collect();
    micros.sort_unstable();
    println!("{BITS} bits, {ROWS} records: {} µs a look (median of {LOOKS})", micros[LOOKS / 2]);
}
