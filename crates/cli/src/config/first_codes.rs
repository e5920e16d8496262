//! What `init` writes about codes: nothing beside the preset of the task, or with `--short-codes` the preset of short codes, and
//! a long one for the party that has nothing to hide from the coordinator.

use anyhow::{bail, ensure};
use hashvfl_core::{CodeForm, PartyName, Task};

/// The preset of short codes.
const SHORT: &str = "tabular-short";
/// The code of the party of the label holder's own organisation, beside short ones.
const OWN_CODE: CodeForm = CodeForm::new(16, 4);
/// The noise before that code's levels: `encoder.hash.noise`.
const OWN_NOISE: f32 = 0.4;

/// Whether parties send short codes, and which one does not; the same at all sides.
#[derive(Debug, Clone, clap::Args)]
pub struct FirstCodes {
    /// Send short codes: less of each record leaves. For two classes; all sides must pass it.
    #[arg(long)]
    short_codes: bool,
    /// With --short-codes: the party of the organisation that runs the coordinator, if there is one. It has nothing to hide
    /// there, so its code is long. All sides must pass it.
    #[arg(long, value_name = "NAME", requires = "short_codes")]
    own: Option<PartyName>,
}

impl FirstCodes {
    /// Whether such a run can be written for `task` and these parties.
    ///
    /// # Errors
    /// If short codes have not been measured for the task, or the party with the long code is none of the run's.
    pub fn check(&self, task: Task, parties: &[PartyName]) -> anyhow::Result<()> {
        ensure!(
            !self.short_codes || task == Task::Binary,
            "--short-codes is for two classes, and the task is {task}: what short codes cost and hide was not measured for it. \
             Leave --short-codes out, and set run.bits lower at all sides if codes reveal too much"
        );
        match &self.own {
            Some(own) if !parties.contains(own) => {
                let names: Vec<&str> = parties.iter().map(PartyName::as_str).collect();
                bail!("--own names {own}, which is none of the run's parties: {}", names.join(", "))
            }
            _ => Ok(()),
        }
    }

    /// The party of the coordinator's own organisation, where it was named.
    pub fn own(&self) -> Option<&PartyName> {
        self.own.as_ref()
    }

    /// The preset, which without `--short-codes` is that of the task.
    pub fn preset<'a>(&self, of_task: &'a str) -> &'a str {
        if self.short_codes { SHORT } else { of_task }
    }

    /// The lines about batches in `[run]`. A short code's batches are those of its preset.
    pub fn batch_rows(&self) -> &'static str {
        if self.short_codes {
            ""
        } else {
            "# Records per batch; \"auto\" chooses 16 to 128 from the number of training records.\n\
             batch_rows = \"auto\"\n"
        }
    }

    /// The table of the long code, which all sides have.
    pub fn table(&self) -> String {
        let Some(own) = &self.own else { return String::new() };
        // Quoted, since a name may have dots.
        format!(
            "\n# The party of the coordinator's own organisation has nothing to hide from it: its code is long.\n\
             [run.codes.\"{own}\"]\nlatents = {}\nbits_per_latent = {}\n",
            OWN_CODE.latents(),
            OWN_CODE.bits_per_latent()
        )
    }

    /// The table with the noise of the long code, for the file of its party.
    pub fn noise_of(&self, party: &PartyName) -> String {
        if self.own.as_ref() == Some(party) {
            format!("\n# The noise of this party's long code.\n[encoder.hash]\nnoise = {OWN_NOISE}\n")
        } else {
            String::new()
        }
    }

    /// What another side must pass to write a run that fits.
    pub fn flags(&self) -> String {
        match &self.own {
            Some(own) => format!(" --short-codes --own {own}"),
            None if self.short_codes => " --short-codes".to_string(),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    fn name(text: &str) -> PartyName {
        PartyName::new(text).unwrap()
    }

    fn codes(short_codes: bool, own: Option<&str>) -> FirstCodes {
        FirstCodes { short_codes, own: own.map(name) }
    }

    #[test]
    fn without_short_codes_init_writes_what_it_wrote() {
        let usual = codes(false, None);
        assert_eq!((usual.preset("tabular"), usual.flags().as_str()), ("tabular", ""));
        assert!(usual.batch_rows().ends_with("\nbatch_rows = \"auto\"\n"));
        assert_eq!(usual.table() + &usual.noise_of(&name("bank")), "");
        usual.check(Task::Multiclass, &[]).unwrap();
    }

    #[test]
    fn only_the_party_that_is_named_has_a_long_code() {
        let short = codes(true, Some("b.an-k"));
        assert_eq!(short.flags(), " --short-codes --own b.an-k");
        assert_eq!((short.preset("tabular"), short.batch_rows()), (SHORT, ""));
        let own: Table = (short.table() + &short.noise_of(&name("b.an-k"))).parse().unwrap();
        let code: CodeForm = own["run"]["codes"]["b.an-k"].clone().try_into().unwrap();
        assert_eq!(code, OWN_CODE);
        assert_eq!(own["encoder"]["hash"]["noise"].as_float(), Some(0.4));
        assert_eq!(short.noise_of(&name("telecom")), "");
        assert_eq!(codes(true, None).table() + &codes(true, None).noise_of(&name("bank")), "");
    }

    #[test]
    fn what_was_not_measured_is_refused_with_the_reason() {
        let parties = [name("bank"), name("telecom")];
        for task in [Task::Multiclass, Task::Regression] {
            let error = codes(true, None).check(task, &parties).unwrap_err().to_string();
            assert!(error.contains("was not measured") && error.contains(&task.to_string()), "{error}");
        }
        codes(true, Some("bank")).check(Task::Binary, &parties).unwrap();
        let error = codes(true, Some("shop")).check(Task::Binary, &parties).unwrap_err().to_string();
        assert_eq!(error, "--own names shop, which is none of the run's parties: bank, telecom");
    }
}
