//! A digest of each record's cells, which is the same for two records with the same cells.

use hashvfl_core::Digest;

use crate::encoding::content::Content;
use crate::error::TableError;
use crate::store::RecordStore;
use crate::store::cache::file::cache_error;

impl RecordStore {
    /// For each record a digest of its cells as they were read: names of columns, numbers, and names of categories. Whoever has
    /// it can check guesses of the cells, so it stays with the party.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn contents(&self) -> Result<Vec<Digest>, TableError> {
        let table = match self {
            Self::Held { table, .. } => {
                let columns = Cells::new(&table.names, &table.contents);
                return Ok((0..table.ids.len()).map(|row| columns.digest(table.matrix.row(row))).collect());
            }
            Self::Cached(cached) => cached,
        };
        let (reader, order) = (table.reader(), table.rows());
        let columns = Cells::new(&reader.frame.names, &reader.frame.contents);
        let (mut of_row, mut row) = (Vec::new(), vec![0.0; reader.frame.names.len()]);
        for rows in reader.groups() {
            let values = reader.group(&rows).map_err(|reason| cache_error(&reader.path, &reason))?;
            for place in 0..rows.len() {
                let cells = values.iter().skip(place).step_by(rows.len());
                row.iter_mut().zip(cells).for_each(|(cell, value)| *cell = *value);
                of_row.push(columns.digest(&row));
            }
        }
        Ok(order.iter().map(|row| of_row[row.number() as usize]).collect())
    }
}

/// What the cells of each row stand for.
struct Cells<'a> {
    contents: &'a [Content],
    /// A digest of the columns' names and types.
    header: Digest,
}

impl<'a> Cells<'a> {
    fn new(names: &[String], contents: &'a [Content]) -> Self {
        let kinds: Vec<u8> =
            contents.iter().map(|content| u8::from(matches!(content, Content::Category(_)))).collect();
        let names = names.iter().map(String::as_bytes);
        Self { contents, header: Digest::of_parts(names.chain([kinds.as_slice()])) }
    }

    fn digest(&self, row: &[f32]) -> Digest {
        let mut bytes = self.header.0.to_vec();
        for (content, value) in self.contents.iter().zip(row) {
            match content {
                Content::Number => {
                    // Missing values are the same whatever the bits of their NaN.
                    let value = if value.is_nan() { f32::NAN } else { *value };
                    bytes.extend(value.to_le_bytes());
                }
                Content::Category(_) if value.is_nan() => bytes.extend(u32::MAX.to_le_bytes()),
                Content::Category(names) => {
                    let name = &names[*value as usize];
                    bytes.extend((name.len() as u32).to_le_bytes());
                    bytes.extend(name.as_bytes());
                }
            }
        }
        Digest::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{ColumnsSource, Treatment};

    fn contents(folder: &Path, text: &str) -> Vec<Digest> {
        let path = folder.join("table.csv");
        std::fs::write(&path, text).unwrap();
        let source: ColumnsSource =
            toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
        let treatment = Treatment { missing: crate::Missing::Fill, ..Treatment::default() };
        let cache = folder.join("cache");
        let cached = RecordStore::load(&source, None, &treatment, Some(&cache)).unwrap().contents().unwrap();
        let held = RecordStore::load(&source, None, &treatment, None).unwrap().contents().unwrap();
        assert_eq!(held, cached);
        held
    }

    #[test]
    fn records_with_the_same_cells_have_the_same_digest_in_any_table() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| contents(folder.path(), text);
        let one = of("id,a,job\n1,2,clerk\n2,2,smith\n3,2.0,clerk\n4,,clerk\n5,2,\n");
        assert_eq!(one[0], one[2], "twins");
        assert!([1, 3, 4].iter().all(|other| one[0] != one[*other]) && one[3] != one[4]);
        // Categories come in another order, so they have other positions.
        let other = of("id,a,job\nx,2,smith\ny,2,clerk\n");
        assert_eq!(other, [one[1], one[0]]);
        assert_ne!(of("id,b,job\n1,2,clerk\n")[0], one[0], "another column");
    }
}
