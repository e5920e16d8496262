//! Random columns and labels, in memory and as the files of a federation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hashvfl_core::RunSettings;
use hashvfl_core::random::{stream, uniform};
use hashvfl_data::Matrix;
use hashvfl_learning::encoder::EncoderConfig;
use hashvfl_testbed::identities;
use hashvfl_testbed::processes::Configs;

/// Uniform columns in steps of 1/256 (short in a file, exact in f32) and labels of ten classes.
pub struct Random {
    /// Columns of each party: [records, columns].
    pub sides: Vec<Matrix>,
    /// A class each.
    pub labels: Vec<u32>,
}

impl Random {
    /// Draws `records` records with `columns` columns at each of two parties.
    pub fn draw(records: usize, columns: usize) -> Self {
        let mut rng = stream(1, "speed", &[]);
        let mut side = || {
            let values =
                (0..records * columns).map(|_| (uniform(&mut rng) * 256.0).floor() / 256.0).collect();
            // Unwrap safety: as many finite values as the shape holds.
            Matrix::new(records, columns, values).expect("a matrix")
        };
        let sides = vec![side(), side()];
        Self { sides, labels: (0..records).map(|_| (uniform(&mut rng) * 10.0) as u32).collect() }
    }

    /// Writes tables and configs into `folder`.
    pub fn write(
        &self,
        folder: &Path,
        settings: &RunSettings,
        encoder: &EncoderConfig,
        image: Option<[usize; 3]>,
        tls: bool,
    ) -> anyhow::Result<Configs> {
        if tls {
            identities::issue_all(folder, &settings.parties)?;
        }
        let connection = |side: &str| match tls {
            true => format!("identity = {{ folder = \"{side}/identity\" }}"),
            false => "insecure_plaintext = true".to_string(),
        };
        let run = format!("[run]\n{}", toml::to_string(settings)?);
        let image = image.map_or(String::new(), |[channels, height, width]| {
            format!("image = {{ channels = {channels}, height = {height}, width = {width} }}\n")
        });
        let mut parties = Vec::new();
        for ((side, name), seed) in self.sides.iter().zip(&settings.parties).zip(1..) {
            fs::write(folder.join(format!("{name}.csv")), table(side))?;
            let config = folder.join(format!("{name}.toml"));
            let text = format!(
                "name = \"{name}\"\nrun_id = \"speed\"\ncoordinator = \"{{coordinator}}\"\n{}\nstate = \"{name}-state\"\n\
                 ledger = \"{name}-ledger.redb\"\ndevice = \"cpu\"\nseed = {seed}\npreprocessing = \"none\"\n\
                 [columns]\nformat = \"csv\"\npaths = [\"{name}.csv\"]\nid = \"id\"\n{image}{run}\n[encoder]\n",
                connection(name.as_str())
            );
            let encoder = toml::Table::try_from(encoder)?;
            let mut whole: toml::Table = text.parse()?;
            whole.insert("encoder".to_string(), encoder.into());
            fs::write(&config, toml::to_string(&whole)?)?;
            parties.push((name.to_string(), config));
        }
        let mut labels = String::from("id,y\n");
        self.labels.iter().enumerate().for_each(|(row, class)| {
            let _ = writeln!(labels, "{row},{class}");
        });
        fs::write(folder.join("labels.csv"), labels)?;
        let coordinator = folder.join("coordinator.toml");
        fs::write(
            &coordinator,
            format!(
                "run_id = \"speed\"\nlisten = \"127.0.0.1:0\"\n{}\nstate = \"coordinator-state\"\ndevice = \"cpu\"\n\
                 labels = {{ format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"y\" }}\n{run}",
                connection("coordinator")
            ),
        )?;
        Ok(Configs { coordinator, parties })
    }
}

fn table(side: &Matrix) -> String {
    let mut text = String::from("id");
    (0..side.cols()).for_each(|column| {
        let _ = write!(text, ",c{column}");
    });
    for row in 0..side.rows() {
        let _ = write!(text, "\n{row}");
        side.row(row).iter().for_each(|value| {
            let _ = write!(text, ",{value}");
        });
    }
    text + "\n"
}
