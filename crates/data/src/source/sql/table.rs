//! Reads a query's records into a table: numbers stay, texts become categories, nulls are missing values.

use std::path::Path;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Schema};
use hashvfl_core::Digest;

use super::columns::{RESULT, check, failed, kind, texts};
use super::records::{QueryRecords, ServedRows, usable};
use super::{SqlColumns, SqlError, engine};
use crate::cell::{CellFault, WHOLE};
use crate::encoding::content::{ColumnBuilder, finish_all};
use crate::encoding::treatment::{ColumnType, Faulty, Treatment};
use crate::error::TableError;
use crate::names;
use crate::source::selection::check_image;
use crate::table::sink::{Frame, RowSink};

/// Hands every id to `each`, sorted, and for a record without one the error that says so; returns the fingerprint of all that
/// the query returned.
pub(crate) fn visit_ids(
    source: &SqlColumns,
    each: &mut dyn FnMut(Result<&str, TableError>) -> Result<(), TableError>,
) -> Result<Digest, TableError> {
    let mut records = QueryRecords::new(source);
    engine::visit(source, |batch| {
        let ids = records.push(batch)?;
        ids.iter().try_for_each(|id| each(usable(id).ok_or_else(|| records.no_id())))
    })?;
    records.finish_any()
}

/// Hands the values of what the query returns to `sink`, row by row, in the same order.
pub(crate) fn read(
    source: &SqlColumns,
    treatment: &Treatment,
    sink: &mut dyn RowSink,
) -> Result<(Frame, Digest), TableError> {
    let mut records = QueryRecords::new(source);
    let mut building: Option<Building> = None;
    engine::visit(source, |batch| {
        let table = match &mut building {
            Some(table) => table,
            none => {
                let table = none.insert(Building::new(source, &batch.schema(), treatment)?);
                sink.start(table.columns.len(), &mut || Ok(0))?;
                table
            }
        };
        let ids = records.push(batch)?;
        table.push(batch, &ids, treatment, sink)
    })?;
    let fingerprint = match treatment.faulty {
        Faulty::Refuse => records.finish()?,
        Faulty::Mark | Faulty::Fill => records.finish_any()?,
    };
    let Some(table) = building else { return Err(SqlError::Empty.into()) };
    let columns = &table.columns;
    let frame = Frame {
        names: columns.iter().map(|(_, column)| column.name().to_owned()).collect(),
        ids: table.rows.finish(sink)?,
        contents: finish_all(table.columns.into_iter().map(|(_, column)| column), sink)?,
        image: source.image,
        pixels: None,
    };
    Ok((frame, fingerprint))
}

struct Building {
    rows: ServedRows,
    /// The columns, each with its place in the query's result.
    columns: Vec<(usize, ColumnBuilder)>,
    /// The values of one batch: `[rows, columns]`.
    values: Vec<f32>,
}

impl Building {
    fn new(source: &SqlColumns, schema: &Schema, treatment: &Treatment) -> Result<Self, TableError> {
        let id_at = check(schema, &source.key())?;
        let all: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        for name in treatment.types.keys() {
            if names::find(Path::new(RESULT), &all, "types", name)? == id_at {
                let problem = "is named in [types] but not loaded";
                return Err(TableError::ColumnNamedTwice { name: name.clone(), problem });
            }
        }
        let fields = schema.fields().iter().enumerate().filter(|(at, _)| *at != id_at);
        let columns: Vec<(usize, ColumnBuilder)> = fields
            .filter_map(|(at, field)| {
                Some((at, ColumnBuilder::of_kind(field.name(), kind(field.data_type())?, treatment)))
            })
            .collect();
        if columns.is_empty() {
            return Err(TableError::NoColumns { path: RESULT.into() });
        }
        check_image(source.image, columns.len())?;
        Ok(Self { rows: ServedRows::default(), columns, values: Vec::new() })
    }

    fn push(
        &mut self,
        batch: &RecordBatch,
        ids: &StringArray,
        treatment: &Treatment,
        sink: &mut dyn RowSink,
    ) -> Result<(), TableError> {
        let width = self.columns.len();
        sink.check(Path::new(RESULT), (self.rows.len() + ids.len()) as u64, width)?;
        self.values.clear();
        self.values.resize(batch.num_rows() * width, 0.0);
        for (place, (at, column)) in self.columns.iter_mut().enumerate() {
            let cells = self.values.iter_mut().skip(place).step_by(width);
            read_column(batch.column(*at), column, treatment, cells)?;
        }
        let mut rows = ids.iter().zip(self.values.chunks_exact(width));
        rows.try_for_each(|(id, row)| self.rows.push(id, row, sink))
    }
}

/// Puts a column's values into `cells`.
fn read_column<'a>(
    values: &ArrayRef,
    column: &mut ColumnBuilder,
    treatment: &Treatment,
    cells: impl Iterator<Item = &'a mut f32>,
) -> Result<(), TableError> {
    let expected = column.expected();
    let are_numbers =
        kind(values.data_type()) == Some(ColumnType::Number) && column.kind() == Some(ColumnType::Number);
    let numbers = if are_numbers { exact_numbers(values)? } else { None };
    let outcome = if let Some(numbers) = numbers {
        let are_truths = values.data_type() == &DataType::Boolean;
        fill(cells, numbers.iter(), |value| match value {
            // `null_values` are texts of numbers, which 0 and 1 of a truth are not.
            Some(truth) if are_truths => column.push_number(truth),
            _ => column.push_option(value, treatment),
        })
    } else {
        let texts = texts(values)?;
        let floating = values.data_type().is_floating();
        fill(cells, texts.iter(), |value| {
            let cell = value.unwrap_or_default().as_bytes();
            // What is no finite number is no category either.
            match value.filter(|_| floating).and_then(|text| text.parse::<f64>().ok()) {
                Some(number) if !number.is_finite() && !treatment.is_null(cell) => column.push_number(number),
                _ => column.push_cell(cell, treatment),
            }
        })
    };
    outcome.map_err(|fault| SqlError::Cell { column: column.name().to_owned(), expected, fault }.into())
}

/// The numbers of a column; `None` if a whole number among them may not be exact in 64 bits of a float.
fn exact_numbers(values: &ArrayRef) -> Result<Option<Float64Array>, TableError> {
    let numbers = cast(values, &DataType::Float64).map_err(|error| failed(&error))?;
    let numbers = Float64Array::from(numbers.to_data());
    let floating = values.data_type().is_floating();
    let exact = |number: f64| floating || number.abs() < WHOLE;
    Ok(numbers.iter().flatten().all(exact).then_some(numbers))
}

fn fill<'a, T>(
    cells: impl Iterator<Item = &'a mut f32>,
    values: impl Iterator<Item = Option<T>>,
    mut push: impl FnMut(Option<T>) -> Result<f32, CellFault>,
) -> Result<(), CellFault> {
    cells.zip(values).try_for_each(|(cell, value)| {
        *cell = push(value)?;
        Ok(())
    })
}
