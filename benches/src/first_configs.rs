//! A first config for each side, by the commands that a newcomer would call, and what is set in place of their values.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, bail};
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_learning::device::DeviceChoice;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_party::PartyConfig;
use hashvfl_testbed::dataset::Sources;
use toml::{Table as Toml, Value};

use crate::tables::Table;

const PARTIES: [&str; 2] = ["first", "second"];

/// A key of the configs and its value.
#[derive(Debug, Clone)]
pub struct Setting {
    keys: Vec<String>,
    value: Value,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
        let table: Toml = format!("value = {value}").parse().map_err(|_| "the value is not valid TOML")?;
        Ok(Self { keys: key.split('.').map(String::from).collect(), value: table["value"].clone() })
    }
}

impl Setting {
    /// Whether it is a key of the coordinator's file, or of the parties'.
    fn is_of(&self, coordinator: bool) -> bool {
        match self.keys[0].as_str() {
            "run" | "preset" => true,
            "top" => coordinator,
            _ => !coordinator,
        }
    }

    fn put(&self, file: &mut Toml) -> anyhow::Result<()> {
        let mut table = file;
        // Unwrap safety: a text that is split has one part at least.
        let (last, before) = self.keys.split_last().expect("a key");
        for key in before {
            let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Toml::new()));
            table = inner.as_table_mut().with_context(|| format!("{key} is not a table"))?;
        }
        table.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

/// The configs of all sides.
pub struct FirstConfigs {
    /// The coordinator's.
    pub coordinator: CoordinatorConfig,
    /// The parties', in order.
    pub parties: Vec<PartyConfig>,
}

impl FirstConfigs {
    /// Writes the files of `table` into `folder`, has `init` write a config for each, and reads these with `settings`.
    ///
    /// # Errors
    /// If `init` refuses a table, or a setting fits no config.
    pub fn write(table: &Table, folder: &Path, settings: &[Setting]) -> anyhow::Result<Self> {
        let labels: Vec<Vec<String>> = std::iter::once("y")
            .chain(table.labels.iter().map(String::as_str))
            .map(|cell| vec![cell.into()])
            .collect();
        write_table(&folder.join("labels.csv"), &labels)?;
        let parties = PARTIES.join(",");
        init(folder, "coordinator", "labels", &["--parties", &parties])?;
        let path = folder.join("labels.toml");
        apply(&path, settings, true)?;
        let mut coordinator = CoordinatorConfig::read(&path)?;
        coordinator.device = DeviceChoice::Cpu;
        let task = coordinator.run.task.to_string();
        let agreed = ["--parties", &parties, "--task", &task];
        let mut configs = Vec::new();
        for (name, columns) in PARTIES.into_iter().zip(&table.parties) {
            write_table(&folder.join(format!("{name}.csv")), columns)?;
            init(folder, "party", name, &[&agreed[..], &["--name", name]].concat())?;
            let path = folder.join(format!("{name}.toml"));
            apply(&path, settings, false)?;
            let config = PartyConfig::read(&path)?;
            configs.push(PartyConfig { device: DeviceChoice::Cpu, ..config });
        }
        Ok(Self { coordinator, parties: configs })
    }

    /// The configs of parties that hold images, by the preset for these, with `settings`.
    ///
    /// # Errors
    /// If a source is none that a config can name, or a setting fits no config.
    pub fn of_images(sources: Sources, settings: &[Setting]) -> anyhow::Result<Self> {
        let run = format!("run = {{ parties = {PARTIES:?}, task = \"{}\" }}", sources.task);
        let file = |coordinator: bool, more: Toml| -> anyhow::Result<String> {
            let common = "preset = \"image\"\nrun_id = \"images\"\nstate = \"state\"\ndevice = \"cpu\"";
            let mut file: Toml = format!("{common}\n{run}").parse()?;
            file.extend(more);
            put_all(&mut file, settings, coordinator)?;
            Ok(toml::to_string(&file)?)
        };
        let labels = Value::try_from(&sources.labels)?;
        let more = [("listen", Value::from("127.0.0.1:0")), ("labels", labels)];
        let text = file(true, more.map(|(key, value)| (key.to_string(), value)).into_iter().collect())?;
        let coordinator = CoordinatorConfig::parse(&text, Path::new("."))?;
        let mut parties = Vec::new();
        for (name, (_, columns)) in PARTIES.into_iter().zip(&sources.parties) {
            let more = [
                ("name", Value::from(name)),
                ("coordinator", Value::from("http://127.0.0.1:1")),
                ("columns", Value::try_from(columns)?),
            ];
            let text = file(false, more.map(|(key, value)| (key.to_string(), value)).into_iter().collect())?;
            parties.push(PartyConfig::parse(&text, Path::new("."))?);
        }
        Ok(Self { coordinator, parties })
    }

    /// What the configs say, in a line.
    pub fn describe(&self) -> String {
        let run = &self.coordinator.run;
        let (task, bits, epochs, rows) = (run.task, run.bits, run.epochs, run.batch_rows);
        format!("{task}, {bits} bits, {epochs} epochs, batches of {rows}")
    }

    /// The name of the task's metric.
    pub fn metric(&self) -> &'static str {
        Evaluation::metric_name(self.coordinator.run.task)
    }
}

/// A CSV file of these lines, the header first, with ids in front.
fn write_table(path: &Path, lines: &[Vec<String>]) -> anyhow::Result<()> {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text += &if number == 0 { "id".to_string() } else { format!("r{number}") };
        for cell in line {
            text.push(',');
            text += cell;
        }
        text.push('\n');
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// `ROLE init --from NAME.csv --out NAME.toml`, in a process of its own.
fn init(folder: &Path, role: &str, name: &str, more: &[&str]) -> anyhow::Result<()> {
    let path = |ending: &str| folder.join(format!("{name}.{ending}"));
    let output = Command::new(std::env::current_exe().context("this program's own file")?)
        .args([role, "init", "--from"])
        .arg(path("csv"))
        .arg("--out")
        .arg(path("toml"))
        .args(more)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {role} init"))?;
    if !output.status.success() {
        bail!("{role} init of {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Puts the settings of a role into its file.
fn apply(path: &Path, settings: &[Setting], coordinator: bool) -> anyhow::Result<()> {
    let mut file: Toml = fs::read_to_string(path)?.parse()?;
    put_all(&mut file, settings, coordinator)?;
    fs::write(path, toml::to_string(&file)?).with_context(|| format!("cannot write {}", path.display()))
}

fn put_all(file: &mut Toml, settings: &[Setting], coordinator: bool) -> anyhow::Result<()> {
    settings.iter().filter(|setting| setting.is_of(coordinator)).try_for_each(|setting| setting.put(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_takes_the_place_of_a_value_in_its_role_s_file() {
        let setting: Setting = "run.bits=64".parse().unwrap();
        let mut file: Toml = "[run]\nbits = 16\nepochs = 3\n".parse().unwrap();
        setting.put(&mut file).unwrap();
        assert_eq!(file, "[run]\nbits = 64\nepochs = 3\n".parse::<Toml>().unwrap());
        assert!(setting.is_of(true) && setting.is_of(false));
        let setting: Setting = "encoder.hash.noise=0.25".parse().unwrap();
        setting.put(&mut file).unwrap();
        assert_eq!(file["encoder"]["hash"]["noise"].as_float(), Some(0.25));
        assert!(!setting.is_of(true) && setting.is_of(false));
        assert!("run.bits".parse::<Setting>().is_err() && "a=b c".parse::<Setting>().is_err());
    }
}
