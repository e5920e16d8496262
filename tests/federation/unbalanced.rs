//! Labels of which few are of one class, and any other honest run: a gradient monitor must not take it for a hijack.

use hashvfl_core::gradient_monitor::{Alarm, GradientMonitor, SeenBatch};
use hashvfl_core::normal::add_noise;
use hashvfl_core::random::stream;
use hashvfl_core::{Gradient, GradientEncoding, PartyName, Plan, RowSelection, RunSettings, Task};
use hashvfl_data::Matrix;
use hashvfl_learning::bottom::InputShape;
use hashvfl_learning::device::Device;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::schedule::Rates;
use hashvfl_learning::top::loss::{ClassWeights, Labels, LossConfig};
use hashvfl_learning::training::backend::{Embedding, PartyBackend};
use hashvfl_learning::training::in_process::{InProcessParties, InProcessParty};
use hashvfl_learning::{Classifier, Encoder, EncoderConfig, TopConfig};

use crate::fixture::{Fixture, PARTIES, RECORDS};

/// A fixture of 20 epochs whose labels are 1 for one record in forty.
fn rare() -> Fixture {
    let mut fixture = Fixture::new();
    (fixture.settings.epochs, fixture.settings.learning_rate) = (20, 0.01);
    let mut labels = "id,y\n".to_string();
    for record in 0..RECORDS {
        labels += &format!("r{record},{}\n", u8::from(record % 40 == 7));
    }
    fixture.write("labels.csv", &labels);
    fixture
}

#[test]
fn a_linear_top_model_on_a_rare_class_raises_no_alarm() {
    for top in ["top = { hidden = [] }", "top = { hidden = [], loss = { consistency = 1.0 } }"] {
        let mut fixture = rare();
        fixture.extra.push(("coordinator", top.into()));
        // Parties stop at an alarm, and the run with them.
        fixture.run();
        assert_eq!(fixture.summary()["epochs"].as_array().unwrap().len(), 20, "{top}");
    }
}

/// Records of the runs in this process.
const DRAWN: usize = 900;
/// Columns of each of their two parties.
const COLUMNS: usize = 4;

/// Columns of two parties, and a value of each record that all of them say something of.
fn drawn() -> ([Matrix; 2], Vec<f32>) {
    let mut rng = stream(3, "records of any run", &[]);
    let mut values = vec![0.0; DRAWN];
    add_noise(&mut values, 0.5, &mut rng);
    let columns = [0, 1].map(|_| {
        let mut table = vec![0.0; DRAWN * COLUMNS];
        add_noise(&mut table, 1.0, &mut rng);
        for (row, value) in table.chunks_exact(COLUMNS).zip(&mut values) {
            *value += row[0] + row[1] / 2.0;
        }
        Matrix::new(DRAWN, COLUMNS, table).unwrap()
    });
    (columns, values)
}

/// The records by their values: one in `ratio + 1`, those of the highest, are of the last class, the others evenly of the rest.
fn classes(values: &[f32], count: usize, ratio: usize) -> Labels {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let others = values.len() - values.len() / (ratio + 1);
    let mut index = vec![count as u32 - 1; values.len()];
    for (place, record) in order.into_iter().take(others).enumerate() {
        index[record] = (place * (count - 1) / others) as u32;
    }
    Labels::Classes { count, index }
}

/// The first alarm of either party within 120 steps of a run in this process.
fn alarm(
    columns: &[Matrix; 2],
    labels: &Labels,
    settings: &RunSettings,
    top: &TopConfig,
) -> Option<(u32, Alarm)> {
    settings.check().unwrap();
    let (mut plan, device) = (Plan::new(settings, DRAWN).unwrap(), Device::flex());
    let encoder = |seed: u64| {
        let input = InputShape { columns: COLUMNS, ..InputShape::default() };
        let (form, rates) = (settings.code_of(&settings.parties[0]), Rates::of_run(settings, plan.updates()));
        let mut encoder =
            Encoder::new(EncoderConfig::default(), CutLayer::Hash, input, form, rates, seed, &device)
                .unwrap();
        encoder.expect_monitoring();
        encoder
    };
    let parties = columns.iter().zip(5..).map(|(matrix, seed)| InProcessParty {
        encoder: encoder(seed),
        gather: Box::new(move |rows: &[u32]| matrix.gather(rows)),
        response: None,
    });
    let mut parties = InProcessParties::hashed(parties.collect(), plan.clone());
    let mut classifier = Classifier::of_run(top, labels.clone(), settings, &plan, 9, &device).unwrap();
    let form = settings.code_of(&settings.parties[0]);
    let mut monitors = [11, 12].map(|seed| GradientMonitor::of_run(settings, form, DRAWN, seed));
    let batches = plan.batches();
    for step in 0..120 {
        let rows = RowSelection::Batch { epoch: step / batches, batch: step % batches };
        if step % batches == 0 {
            classifier.begin_epoch(step / batches % settings.cycle_epochs(), settings.cycle_epochs());
        }
        let numbers = plan.rows(rows).unwrap();
        let parts: Vec<Vec<f32>> =
            parties.encode(rows, numbers.len()).unwrap().iter().map(Embedding::to_floats).collect();
        let gradients = classifier.step(&parts, &numbers).gradients;
        let encode = |gradient| Gradient::encode(gradient, settings.bits, settings.gradient);
        let sent: Vec<Gradient> = gradients.into_iter().map(encode).collect();
        for (party, monitor) in monitors.iter_mut().enumerate() {
            let found = monitor.observe(&SeenBatch {
                begins_cycle: rows.begins_cycle(settings),
                rows: &numbers,
                codes: &parts[party],
                expected: &parties.expected_codes(party),
                gradient: &sent[party].decode(),
            });
            if let Some(found) = found {
                return Some((step, found));
            }
        }
        parties.learn(sent).unwrap();
    }
    None
}

/// Every top model, task, weighting and imbalance, with encodings of gradients, lengths of codes and terms of the loss that
/// change from run to run.
#[test]
fn an_honest_run_of_any_config_raises_no_alarm() {
    let (columns, values) = drawn();
    let none = ClassWeights::None;
    let mut tables = vec![("values".to_string(), Task::Regression, Labels::Real(values.clone()), none)];
    for (task, count) in [(Task::Binary, 2), (Task::Multiclass, 3)] {
        for ratio in [1, 10, 40] {
            for weights in [none, ClassWeights::Balanced] {
                let name = format!("{count} classes, 1:{ratio}, {weights:?}");
                tables.push((name, task, classes(&values, count, ratio), weights));
            }
        }
    }
    let mut run = 0;
    for (name, task, labels, class_weights) in &tables {
        for hidden in [vec![], vec![16], vec![16, 16]] {
            let parties = PARTIES.map(|party| PartyName::new(party).unwrap()).to_vec();
            let settings = RunSettings {
                batch_rows: 64.into(),
                learning_rate: [0.003, 0.01][run % 2],
                gradient: [GradientEncoding::Int8, GradientEncoding::Sign, GradientEncoding::F32]
                    [run / 3 % 3],
                gradient_noise: [None, None, None, Some(0.5)][run % 4],
                party_dropout: [0.0, 0.3][run / 2 % 2],
                seed: run as u64,
                ..RunSettings::new(parties, *task, [4, 8, 16, 32][run / 2 % 4], 20)
            };
            let consistency = [0.0, 0.1, 1.0, 0.0, 0.0][run % 5];
            let loss = LossConfig { class_weights: *class_weights, consistency, ..LossConfig::default() };
            let top = TopConfig { hidden, loss, ..TopConfig::default() };
            let found = alarm(&columns, labels, &settings, &top);
            assert!(found.is_none(), "run {run}, {name}, {top:?}, {settings:?}: {found:?}");
            run += 1;
        }
    }
    assert_eq!(run, 39);
}
