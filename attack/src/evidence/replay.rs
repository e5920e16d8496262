//! The top model as it was at every step of the run that was recorded: made again from the transcript, from labels and from the
//! coordinator's seed. Parties' seeds, which nobody else knows, have no part in it.

use std::slice::Iter;

use anyhow::{Context, ensure};
use hashvfl_coordinator::train_again;
use hashvfl_core::protocol::message::Command;
use hashvfl_core::{CodeForm, Digest, Gradient, PackedCodes, Plan, RowSelection};
use hashvfl_learning::Classifier;
use hashvfl_learning::training::StepObserver;
use hashvfl_learning::training::backend::PartyBackend;
use hashvfl_learning::training::saved::SavedTraining;
use hashvfl_transcript::{RecordedKind, Recording, Step, ValueEncoding};

use crate::evidence::Evidence;

/// Whether steps of a recording are about the very records of the run: some may have been erased since.
pub fn is_whole(evidence: &Evidence, recording: &Recording) -> bool {
    let rows = evidence.plan.clone().rows(RowSelection::Batch { epoch: 0, batch: 0 });
    let first = recording.steps.first();
    recording.header.erasures.is_empty()
        && first.zip(rows.ok()).is_some_and(|(first, rows)| first.records == rows)
}

/// Makes the top model again; `observer` hears of every step.
///
/// # Errors
/// If the recording holds something else than codes of what the run asked for, step by step.
pub fn replay(
    evidence: &Evidence,
    recording: &Recording,
    observer: &mut StepObserver<'_>,
) -> anyhow::Result<Classifier> {
    let header = &recording.header;
    let forms = header.parties.iter().map(|party| (party.to_string(), header.form_of(party))).collect();
    let plan = evidence.plan.clone();
    let mut parties = RecordedParties { steps: recording.steps.iter(), forms, plan };
    train_again(&evidence.coordinator, &evidence.labels, &evidence.plan, &mut parties, observer)
}

/// Parties that send what they sent.
struct RecordedParties<'a> {
    steps: Iter<'a, Step>,
    /// Their names, and what their codes are made of.
    forms: Vec<(String, CodeForm)>,
    plan: Plan,
}

impl PartyBackend for RecordedParties<'_> {
    type Embedding = PackedCodes;
    type Error = anyhow::Error;

    fn encode(&mut self, rows: RowSelection, _count: usize) -> anyhow::Result<Vec<PackedCodes>> {
        let step = self.steps.find(|step| !matches!(step.kind, RecordedKind::Gradient { .. }));
        let step = step.context("the transcript ends before the run did")?;
        ensure!(
            step.kind == RecordedKind::of(rows) && step.records == self.plan.rows(rows)?,
            "step {} of the transcript is about other records than the run asked for",
            step.step
        );
        self.forms.iter().map(|(party, form)| codes(step, party, form.bits())).collect()
    }

    fn encode_synthetic(&mut self, _chunk: u32) -> anyhow::Result<Vec<PackedCodes>> {
        // Of no record, and only for detectors.
        Ok(Vec::new())
    }

    fn learn(&mut self, _gradients: Vec<Gradient>) -> anyhow::Result<()> {
        Ok(())
    }

    fn carry_out(&mut self, _command: Command) -> anyhow::Result<()> {
        Ok(())
    }

    fn is_time_to_save(&self, _ended: bool) -> bool {
        false
    }

    fn save(&mut self, _saved: SavedTraining) -> anyhow::Result<()> {
        Ok(())
    }

    fn freeze(&mut self) -> anyhow::Result<Vec<Digest>> {
        Ok(Vec::new())
    }
}

/// What a party sent in a step: codes of so many `bits`.
fn codes(step: &Step, party: &str, bits: usize) -> anyhow::Result<PackedCodes> {
    let sent = step.values.iter().find(|(name, _)| name == party);
    let (_, bytes) = sent.with_context(|| format!("step {}: {party} sent nothing", step.step))?;
    let each = bits.div_ceil(8);
    ensure!(
        step.encoding == ValueEncoding::Bits && bytes.len() == step.records.len() * each,
        "step {}: {party} sent something else than codes of {bits} bits",
        step.step
    );
    let rows: Vec<&[u8]> = bytes.chunks_exact(each).collect();
    Ok(PackedCodes::from_rows(&rows, bits)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use hashvfl_coordinator::CoordinatorConfig;
    use hashvfl_core::Part;
    use hashvfl_core::random::{stream, uniform};
    use hashvfl_learning::encoder::CutLayer;
    use hashvfl_learning::top::loss::Labels;
    use hashvfl_party::PartyConfig;
    use hashvfl_transcript::Erasure;

    use super::*;
    use crate::evaluation::checks::same_top;
    use crate::evidence::observed::ObservedAt;
    use crate::evidence::simulation::{RunVariant, simulate};

    const PARTIES: [&str; 2] = ["bank", "telecom"];
    const RECORDS: usize = 300;

    /// Tables of two parties with two columns each, and labels by their sum, in a folder.
    fn evidence(folder: &Path, refit: bool) -> Evidence {
        let mut rng = stream(4, "replay test", &[]);
        let mut tables = [String::from("id,a,b\n"), String::from("id,a,b\n")];
        let mut labels = String::from("id,y\n");
        for record in 0..RECORDS {
            let mut sum = 0.0;
            for table in &mut tables {
                let [a, b] = [(); 2].map(|()| uniform(&mut rng) - 0.5);
                sum += a + b;
                *table += &format!("r{record},{a},{b}\n");
            }
            labels += &format!("r{record},{}\n", u8::from(sum > 0.0));
        }
        fs::write(folder.join("labels.csv"), labels).unwrap();
        let run = format!(
            "run_id = \"r\"\ndevice = \"cpu\"\ninsecure_plaintext = true\n\
             run = {{ parties = {PARTIES:?}, task = \"binary\", bits = 8, epochs = 3, batch_rows = 32, \
             learning_rate = 0.02, test_fraction = 0.3, party_dropout = 0.1, refit = {refit} }}\n"
        );
        let parties = PARTIES.iter().zip(&tables).map(|(name, table)| {
            fs::write(folder.join(format!("{name}.csv")), table).unwrap();
            let own = format!(
                "name = \"{name}\"\ncoordinator = \"http://127.0.0.1:1\"\nstate = \"{name}-state\"\nseed = 7\n\
                 columns = {{ format = \"csv\", paths = [\"{name}.csv\"], id = \"id\" }}\n"
            );
            PartyConfig::parse(&(own + &run), folder).unwrap()
        });
        let parties = parties.collect();
        let own = "listen = \"127.0.0.1:0\"\nstate = \"state\"\ntop = { dropout = 0.1, patience = 1 }\n\
                   labels = { format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"y\" }\n";
        let coordinator = CoordinatorConfig::parse(&(own.to_string() + &run), folder).unwrap();
        Evidence::untrained(coordinator, parties).unwrap()
    }

    fn replayed(evidence: &Evidence, recording: &Recording) -> (Classifier, u64) {
        let mut steps = 0;
        let mut count = |_: &Classifier, _: &[u32], _: &[Vec<f32>]| steps += 1;
        let top = replay(evidence, recording, &mut count).unwrap();
        (top, steps)
    }

    /// Whether parties named their seeds or not.
    #[test]
    fn a_transcript_gives_the_top_model_again_and_with_other_labels_or_another_seed_another_one() {
        for refit in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut evidence = evidence(folder.path(), refit);
            let settings = evidence.coordinator.run.clone();
            let path = folder.path().join("transcript.parquet");
            let run = simulate(&evidence, &RunVariant::new(&settings, CutLayer::Hash), &path).unwrap();
            let recording = Recording::read(&path, None).unwrap();
            evidence.owners.iter_mut().for_each(|owner| owner.config.seed = None);
            let tested = evidence.plan.part(Part::Test).to_vec();
            let parts = run.observed.gather_all(ObservedAt::Frozen, &tested).unwrap();
            let same = |top: &Classifier| same_top(&run.top, top, &parts, tested.len());

            assert!(is_whole(&evidence, &recording));
            let (top, steps) = replayed(&evidence, &recording);
            assert_eq!(top.snapshot(), run.top.snapshot());
            let batches = u64::from(evidence.plan.batches());
            assert!(steps >= 2 * batches && steps.is_multiple_of(batches), "{steps} of {batches} an epoch");
            assert!(same(&top).held && same(&top).detail.contains("last bit"));

            // A run that learns otherwise may end at another epoch, and then asks for other records.
            let differs = |evidence: &Evidence| match replay(evidence, &recording, &mut |_, _, _| ()) {
                Ok(top) => !same(&top).held,
                Err(error) => error.to_string().contains("other records"),
            };
            evidence.coordinator.seed += 1;
            assert!(differs(&evidence));
            evidence.coordinator.seed -= 1;
            if let Labels::Classes { index, .. } = &mut evidence.labels {
                index.iter_mut().step_by(5).for_each(|class| *class = 1 - *class);
            }
            assert!(differs(&evidence));
        }
    }

    #[test]
    fn a_transcript_that_lacks_records_or_steps_is_none_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = evidence(folder.path(), false);
        let path = folder.path().join("transcript.parquet");
        let settings = evidence.coordinator.run.clone();
        simulate(&evidence, &RunVariant::new(&settings, CutLayer::Hash), &path).unwrap();
        let read = || Recording::read(&path, None).unwrap();
        let mut short = read();
        short.steps.pop();
        let failed = |recording: &Recording| {
            format!("{:#}", replay(&evidence, recording, &mut |_, _, _| ()).err().expect("an error"))
        };
        assert!(failed(&short).contains("ends before the run did"), "{}", failed(&short));
        let mut other = read();
        other.steps.swap(0, 1);
        assert!(!is_whole(&evidence, &other));
        assert!(failed(&other).contains("about other records"), "{}", failed(&other));
        let mut erased = read();
        erased.header.erasures.push(Erasure { head: String::new(), rows: 2 });
        assert!(!is_whole(&evidence, &erased));
    }
}
