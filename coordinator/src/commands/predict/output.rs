//! The file of predictions: a row for each record asked for, in order, as CSV or Parquet. It gets its name only when it is
//! complete, and only its owner can read it.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use hashvfl_files::WholeFile;
use hashvfl_proto::v1::{Model, Outcome, Predictions};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

/// Classes up to which each has a column of its own with its probability.
pub const MAX_CLASS_COLUMNS: usize = 100;

/// A file in the making.
pub struct Output {
    format: Format,
    columns: OutputColumns,
}

enum Format {
    Csv(Box<csv::Writer<WholeFile>>),
    Parquet(Box<SerializedFileWriter<WholeFile>>),
}

/// Which columns there are.
struct OutputColumns {
    parties: Vec<String>,
    classes: Vec<String>,
    /// Whether classes have probabilities.
    probabilities: bool,
    flags: bool,
}

/// One column's cells: empty where a record has no prediction.
enum Cells {
    Texts(Vec<Option<ByteArray>>),
    Numbers(Vec<Option<f32>>),
}

impl Output {
    /// Begins a file: Parquet where its name ends so, CSV otherwise.
    pub fn create(path: &Path, model: &Model) -> anyhow::Result<Self> {
        let (parties, classes) = (model.parties.clone(), model.classes.clone());
        let probabilities = !model.classes_only;
        let columns = OutputColumns { parties, classes, probabilities, flags: model.flag_level > 0.0 };
        let file = WholeFile::create(path)?;
        let parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        let format = if parquet {
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                // Each id is there once.
                .set_column_dictionary_enabled(ColumnPath::from("id"), false);
            let writer = SerializedFileWriter::new(file, columns.schema()?, Arc::new(properties.build()))?;
            Format::Parquet(Box::new(writer))
        } else {
            let mut writer = Box::new(csv::Writer::from_writer(file));
            writer.write_record(columns.names().iter().map(|(name, _)| name))?;
            Format::Csv(writer)
        };
        Ok(Self { format, columns })
    }

    /// Writes the rows of one answer.
    pub fn write(&mut self, ids: &[String], answer: &Predictions) -> anyhow::Result<()> {
        let cells = self.columns.cells(ids, answer)?;
        match &mut self.format {
            Format::Csv(writer) => (0..ids.len()).try_for_each(|row| {
                cells.iter().try_for_each(|cells| writer.write_field(cells.text(row)))?;
                writer.write_record(None::<&[u8]>)
            })?,
            Format::Parquet(writer) => {
                let mut group = writer.next_row_group()?;
                cells.iter().try_for_each(|cells| cells.write(&mut group))?;
                group.close()?;
            }
        }
        Ok(())
    }

    /// Gives the file its name.
    pub fn finish(self) -> anyhow::Result<()> {
        let file = match self.format {
            Format::Csv(writer) => writer.into_inner().map_err(csv::IntoInnerError::into_error)?,
            Format::Parquet(writer) => writer.into_inner()?,
        };
        Ok(file.finish()?)
    }
}

impl OutputColumns {
    /// Names, and whether a column holds numbers.
    fn names(&self) -> Vec<(String, bool)> {
        let mut names = vec![("id".to_string(), false), ("outcome".to_string(), false)];
        if self.classes.is_empty() {
            names.push(("value".to_string(), true));
        } else {
            names.push(("class".to_string(), false));
            if self.probabilities {
                names.push(("probability".to_string(), true));
            }
            if self.has_class_columns() {
                names.extend(self.classes.iter().map(|class| (format!("probability_{class}"), true)));
            }
        }
        names.push(("parties".to_string(), false));
        if self.flags {
            names.push(("p_value".to_string(), true));
            names.push(("flagged".to_string(), false));
        }
        names
    }

    /// Whether each class has a column with its probability.
    fn has_class_columns(&self) -> bool {
        self.probabilities && self.classes.len() <= MAX_CLASS_COLUMNS
    }

    fn schema(&self) -> Result<Arc<Type>, ParquetError> {
        let field = |(name, number): (String, bool)| {
            let kind = if number { Physical::FLOAT } else { Physical::BYTE_ARRAY };
            let field = Type::primitive_type_builder(&name, kind).with_repetition(Repetition::OPTIONAL);
            let field = if number { field } else { field.with_logical_type(Some(LogicalType::String)) };
            Ok(Arc::new(field.build()?))
        };
        let fields = self.names().into_iter().map(field).collect::<Result<Vec<_>, ParquetError>>()?;
        Ok(Arc::new(Type::group_type_builder("predictions").with_fields(fields).build()?))
    }

    /// The columns' cells, in the order of the names.
    fn cells(&self, ids: &[String], answer: &Predictions) -> anyhow::Result<Vec<Cells>> {
        let predicted: Vec<bool> =
            answer.outcomes.iter().map(|outcome| *outcome == i32::from(Outcome::Predicted)).collect();
        let count = predicted.iter().filter(|predicted| **predicted).count();
        ensure!(
            answer.outcomes.len() == ids.len() && self.fits(answer, count),
            "the coordinator's answer does not match the request: does it run another version?"
        );
        let finite = answer.values.iter().chain(&answer.probabilities).all(|value| value.is_finite());
        ensure!(
            finite,
            "the coordinator's answer holds predictions that are no finite numbers: is its model whole?"
        );
        let words: Vec<ByteArray> = (0..6).map(|outcome| ByteArray::from(word(outcome))).collect();
        let word_of =
            |outcome: &i32| words[usize::try_from(*outcome).unwrap_or(0).min(words.len() - 1)].clone();
        let mut cells = vec![
            Cells::Texts(ids.iter().map(|id| Some(ByteArray::from(id.as_bytes().to_vec()))).collect()),
            Cells::Texts(answer.outcomes.iter().map(|outcome| Some(word_of(outcome))).collect()),
        ];
        if self.classes.is_empty() {
            cells.push(Cells::numbers(&predicted, |at| answer.values[at]));
        } else {
            cells.extend(self.cells_of_classes(answer, &predicted));
        }
        let everybody = self.took_part(u64::MAX);
        let every_bit = u64::MAX >> (64 - self.parties.len().clamp(1, 64));
        cells.push(Cells::texts(&predicted, |at| match answer.took_part[at] {
            bits if bits == every_bit => everybody.clone(),
            bits => self.took_part(bits),
        }));
        if self.flags {
            let words = ["", "no", "yes"].map(ByteArray::from);
            cells.push(Cells::numbers(&predicted, |at| answer.p_values[at]));
            cells.push(Cells::texts(&predicted, |at| {
                match (answer.p_values[at].is_nan(), answer.flagged[at]) {
                    (true, _) => words[0].clone(),
                    (false, flagged) => words[1 + usize::from(flagged)].clone(),
                }
            }));
        }
        Ok(cells)
    }

    /// Whether `answer` holds what belongs to `count` predictions of this model.
    fn fits(&self, answer: &Predictions, count: usize) -> bool {
        let width = self.classes.len();
        answer.took_part.len() == count
            && (!self.flags || (answer.p_values.len(), answer.flagged.len()) == (count, count))
            && if width == 0 {
                answer.values.len() == count
            } else {
                answer.classes.len() == count
                    && answer.probabilities.len() == if self.probabilities { count * width } else { 0 }
                    && answer.classes.iter().all(|class| (*class as usize) < width)
            }
    }

    /// The predicted class, and probabilities where there are any.
    fn cells_of_classes(&self, answer: &Predictions, predicted: &[bool]) -> Vec<Cells> {
        let names: Vec<ByteArray> = self.classes.iter().map(|name| ByteArray::from(name.as_str())).collect();
        let probability = |at: usize, class: usize| answer.probabilities[at * names.len() + class];
        let mut cells = vec![Cells::texts(predicted, |at| names[answer.classes[at] as usize].clone())];
        if self.probabilities {
            cells.push(Cells::numbers(predicted, |at| probability(at, answer.classes[at] as usize)));
        }
        if self.has_class_columns() {
            for class in 0..names.len() {
                cells.push(Cells::numbers(predicted, |at| probability(at, class)));
            }
        }
        cells
    }

    fn took_part(&self, bits: u64) -> ByteArray {
        let names = self.parties.iter().take(64).enumerate().filter(|(party, _)| bits >> party & 1 == 1);
        ByteArray::from(names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("+").as_str())
    }
}

/// One value a prediction, over all records.
fn spread<T>(predicted: &[bool], value: impl Fn(usize) -> T) -> Vec<Option<T>> {
    let mut next = 0..;
    predicted.iter().map(|there| if *there { next.next().map(&value) } else { None }).collect()
}

/// An outcome in the file.
fn word(outcome: i32) -> &'static str {
    match Outcome::try_from(outcome) {
        Ok(Outcome::Predicted) => "predicted",
        Ok(Outcome::UnknownId) => "unknown id",
        Ok(Outcome::RepeatedId) => "repeated id",
        Ok(Outcome::Refused) => "refused by a party",
        Ok(Outcome::PartyAway) => "party away",
        Ok(Outcome::Unspecified) | Err(_) => "unknown outcome",
    }
}

impl Cells {
    /// A text for each prediction, over all records.
    fn texts(predicted: &[bool], value: impl Fn(usize) -> ByteArray) -> Self {
        Self::Texts(spread(predicted, value))
    }

    /// A number for each prediction, over all records. What is no number is no cell: the p-value of a record with a masked party.
    fn numbers(predicted: &[bool], value: impl Fn(usize) -> f32) -> Self {
        let cells = spread(predicted, value).into_iter();
        Self::Numbers(cells.map(|cell| cell.filter(|value| !value.is_nan())).collect())
    }

    fn text(&self, row: usize) -> String {
        match self {
            Self::Texts(texts) => texts[row]
                .as_ref()
                .map(|text| String::from_utf8_lossy(text.data()).into_owned())
                .unwrap_or_default(),
            Self::Numbers(numbers) => numbers[row].map(|number| number.to_string()).unwrap_or_default(),
        }
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<WholeFile>) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        match self {
            Self::Texts(texts) => {
                let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
                let texts: Vec<ByteArray> = texts.iter().flatten().cloned().collect();
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None)?;
            }
            Self::Numbers(numbers) => {
                let levels: Vec<i16> = numbers.iter().map(|number| i16::from(number.is_some())).collect();
                let numbers: Vec<f32> = numbers.iter().flatten().copied().collect();
                column.typed::<FloatType>().write_batch(&numbers, Some(&levels), None)?;
            }
        }
        column.close()
    }
}

#[cfg(test)]
mod tests;
