//! Fits the encoding of a column on its values at the training rows.

use std::ops::Range;

use hashvfl_core::text::counted;

use crate::encoding::content::Content;
use crate::encoding::error::PreprocessError;
use crate::encoding::fitted::Fitted;
use crate::encoding::scale::{ColumnScaling, Preprocessing, Scaler};
use crate::encoding::treatment::{ColumnRules, Fill, Missing, Treatment};

/// The most categories that become one column each, unless the type says otherwise.
pub const ONE_HOT_MOST: usize = 32;
/// The width of an embedding, unless the type says otherwise.
const EMBEDDING: usize = 8;
/// A column of more categories than this, and of more than one for every second row, is refused.
const FEW_CATEGORIES: usize = 100;
/// Columns of one value that are named, at most.
const MOST_NAMED: usize = 8;

/// The fitting of a table's columns.
pub(crate) struct Fit<'a> {
    rows: usize,
    scale: ColumnScaling,
    treatment: &'a Treatment,
    /// Names of columns of one value at all training rows.
    constant: Vec<String>,
}

/// Returns a column's values at the training rows.
type Values<'a> = &'a mut dyn FnMut() -> Result<Vec<f32>, PreprocessError>;

impl<'a> Fit<'a> {
    pub(crate) fn new(rows: usize, treatment: &'a Treatment) -> Result<Self, PreprocessError> {
        let Treatment { preprocessing, clip, clip_quantile, .. } = *treatment;
        let scale = ColumnScaling { preprocessing, clip, clip_quantile };
        scale.check()?;
        let fit = Self { rows, scale, treatment, constant: Vec::new() };
        if rows == 0 { Err(PreprocessError::NoRows) } else { Ok(fit) }
    }

    /// Fits the column `name`.
    pub(crate) fn column(
        &mut self,
        name: &str,
        content: &Content,
        values: Values<'_>,
    ) -> Result<Fitted, PreprocessError> {
        let treatment = self.treatment;
        let rules = treatment.types.get(name);
        match content {
            Content::Number => self.number(name, rules.map_or(Fill::default(), |rules| rules.fill), values),
            Content::Category(names) => self.category(name, rules, names, &values()?),
        }
    }

    /// What to know of columns of one value, by name; nothing where there are none. Not those that stay as they are: nothing
    /// was measured.
    pub(crate) fn told_of_constants(&self) -> Option<String> {
        let count = self.constant.len();
        let shown: Vec<String> =
            self.constant.iter().take(MOST_NAMED).map(|name| format!("{name:?}")).collect();
        let more = if count > MOST_NAMED { ", ..." } else { "" };
        (count > 0).then(|| {
            format!(
                "{} with one value in all training records ({}{more}): of no use to a model; exclude with `ignore`",
                counted(count, "column"),
                shown.join(", ")
            )
        })
    }

    fn number(&mut self, name: &str, fill: Fill, values: Values<'_>) -> Result<Fitted, PreprocessError> {
        let as_is = self.scale.preprocessing == Preprocessing::None && self.scale.clip_quantile.is_none();
        if as_is && self.treatment.missing(name) == Missing::Error {
            return Ok(Fitted::Number { fill: None, missed: false, scaler: Scaler::identity() });
        }
        let mut values = values()?;
        values.retain(|value| !value.is_nan());
        if values.is_empty() {
            return Err(PreprocessError::AllMissing { column: name.to_owned() });
        }
        let fill = match fill {
            Fill::Mean => {
                (values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64) as f32
            }
            Fill::Median => {
                let middle = values.len() / 2;
                *values.clone().select_nth_unstable_by(middle, f32::total_cmp).1
            }
        };
        let missed = values.len() < self.rows;
        if !missed && values.iter().all(|value| *value == values[0]) {
            self.constant.push(name.to_owned());
        }
        Ok(Fitted::Number { fill: Some(fill), missed, scaler: self.scale.fit(values) })
    }

    fn category(
        &mut self,
        name: &str,
        rules: Option<&ColumnRules>,
        names: &[String],
        values: &[f32],
    ) -> Result<Fitted, PreprocessError> {
        let (mut counts, mut missed) = (vec![0_usize; names.len()], false);
        for value in values {
            if value.is_nan() {
                missed = true;
            } else {
                counts[*value as usize] += 1;
            }
        }
        let least = rules.map_or(1, |rules| rules.min_count).max(1);
        let rare = sorted_names(names, &counts, 1..least);
        let names = sorted_names(names, &counts, least..usize::MAX);
        if names.len() > FEW_CATEGORIES && names.len() > self.rows / 2 {
            let (column, categories, rows) = (name.to_owned(), names.len(), self.rows);
            return Err(PreprocessError::NearlyUnique { column, categories, rows });
        }
        let count = names.len() + usize::from(missed);
        if count == 0 {
            return Err(PreprocessError::AllMissing { column: name.to_owned() });
        }
        if count + rare.len() == 1 {
            self.constant.push(name.to_owned());
        }
        let embedding = match rules.and_then(|rules| rules.embedding) {
            Some(0) => None,
            Some(width) => Some(width),
            None => (count > ONE_HOT_MOST).then_some(EMBEDDING),
        };
        Ok(Fitted::Category { names, rare, missed, embedding })
    }
}

/// The names whose count is within `range`, sorted.
fn sorted_names(names: &[String], counts: &[usize], range: Range<usize>) -> Vec<String> {
    let mut chosen = Vec::new();
    for (name, count) in names.iter().zip(counts) {
        if range.contains(count) {
            chosen.push(name.clone());
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_value_are_named_and_no_others() {
        let treatment = Treatment { missing: Missing::Fill, ..Treatment::default() };
        let mut fit = Fit::new(3, &treatment).unwrap();
        let jobs = Content::Category(vec!["secret".into(), "cook".into()]);
        for (name, content, values) in [
            ("age", Content::Number, [7.0, 8.0, 7.0]),
            ("missed", Content::Number, [7.0, f32::NAN, 7.0]),
            ("job", jobs.clone(), [0.0, 1.0, 0.0]),
            ("missed job", jobs.clone(), [0.0, f32::NAN, 0.0]),
        ] {
            fit.column(name, &content, &mut || Ok(values.to_vec())).unwrap();
        }
        assert_eq!(fit.told_of_constants(), None);
        for (name, content) in [("year", Content::Number), ("country", jobs)] {
            fit.column(name, &content, &mut || Ok(vec![0.0; 3])).unwrap();
        }
        let told = fit.told_of_constants().unwrap();
        let expected = "2 columns with one value in all training records (\"year\", \"country\")";
        assert!(told.starts_with(expected) && !told.contains("secret"), "{told}");
    }
}
