//! Fits what becomes of a column on its values at the training rows.

use crate::encoding::content::Content;
use crate::encoding::error::PreprocessError;
use crate::encoding::fitted::Fitted;
use crate::encoding::scale::{Preprocessing, Scale, Scaler};
use crate::encoding::treatment::{ColumnRules, Fill, Missing, Treatment};

/// Most categories that become one column each, where the type does not say otherwise.
pub const ONE_HOT_MOST: usize = 32;
/// Width of an embedding, where the type does not say.
const EMBEDDING: usize = 8;
/// A column of more categories than this, and of one for every second row, is no column of categories.
const FEW_CATEGORIES: usize = 100;

/// The fitting of a table's columns.
pub(crate) struct Fit<'a> {
    rows: usize,
    scale: Scale,
    treatment: &'a Treatment,
}

/// Brings a column's values at the training rows.
type Values<'a> = &'a mut dyn FnMut() -> Result<Vec<f32>, PreprocessError>;

impl<'a> Fit<'a> {
    pub(crate) fn new(rows: usize, treatment: &'a Treatment) -> Result<Self, PreprocessError> {
        let Treatment { preprocessing, clip, clip_quantile, .. } = *treatment;
        let scale = Scale { preprocessing, clip, clip_quantile };
        scale.check()?;
        if rows == 0 { Err(PreprocessError::NoRows) } else { Ok(Self { rows, scale, treatment }) }
    }

    /// What becomes of the column `name`.
    pub(crate) fn column(
        &self,
        name: &str,
        content: &Content,
        values: Values<'_>,
    ) -> Result<Fitted, PreprocessError> {
        let rules = self.treatment.types.get(name);
        match content {
            Content::Number => self.number(name, rules.map_or(Fill::default(), |rules| rules.fill), values),
            Content::Category(names) => self.category(name, rules, names, &values()?),
        }
    }

    fn number(&self, name: &str, fill: Fill, values: Values<'_>) -> Result<Fitted, PreprocessError> {
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
        Ok(Fitted::Number { fill: Some(fill), missed, scaler: self.scale.fit(values) })
    }

    fn category(
        &self,
        name: &str,
        rules: Option<&ColumnRules>,
        names: &[String],
        values: &[f32],
    ) -> Result<Fitted, PreprocessError> {
        let mut counts = vec![0_usize; names.len()];
        let present = values.iter().filter(|value| !value.is_nan());
        present.clone().for_each(|value| counts[*value as usize] += 1);
        let missed = present.count() < values.len();
        let least = rules.map_or(1, |rules| rules.min_count).max(1);
        let sorted = |chosen: &dyn Fn(usize) -> bool| {
            let chosen = names.iter().zip(&counts).filter(|(_, count)| chosen(**count));
            let mut names: Vec<String> = chosen.map(|(name, _)| name.clone()).collect();
            names.sort_unstable();
            names
        };
        let rare = sorted(&|count| count > 0 && count < least);
        let names = sorted(&|count| count >= least);
        let column = || name.to_owned();
        if names.len() > FEW_CATEGORIES && names.len() > self.rows / 2 {
            return Err(PreprocessError::NearlyUnique {
                column: column(),
                categories: names.len(),
                rows: self.rows,
            });
        }
        let count = names.len() + usize::from(missed);
        if count == 0 {
            return Err(PreprocessError::AllMissing { column: column() });
        }
        let embedding = match rules.and_then(|rules| rules.embedding) {
            Some(0) => None,
            Some(width) => Some(width),
            None => (count > ONE_HOT_MOST).then_some(EMBEDDING),
        };
        Ok(Fitted::Category { names, rare, missed, embedding })
    }
}
