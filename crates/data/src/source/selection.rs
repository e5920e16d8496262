//! Which columns of files with named columns are loaded, as `id`, `columns` and `ignore` say.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::encoding::treatment::Treatment;
use crate::error::TableError;
use crate::ids::key_columns::KeyColumns;
use crate::names;
use crate::table::ImageShape;

/// The settings of a format whose files have named columns.
pub(crate) struct Selection<'a> {
    pub(crate) id: &'a KeyColumns,
    pub(crate) columns: Option<&'a [String]>,
    pub(crate) ignore: &'a [String],
    pub(crate) image: Option<ImageShape>,
}

impl Selection<'_> {
    /// The positions of the columns to load, in the order of loading. `names` are those of all columns of the file at `path`.
    pub(crate) fn find(&self, path: &Path, names: &[String]) -> Result<Vec<usize>, TableError> {
        let key = find_key(path, names, self.id)?;
        check_names_differ(path, names)?;
        let mut ignored = HashSet::new();
        for name in self.ignore {
            let at = names::find(path, names, "ignore", name)?;
            if key.contains(&at) {
                return Err(named_twice(name, "is named in both `id` and `ignore`"));
            }
            ignored.insert(at);
        }
        let selected = match self.columns {
            Some(wanted) => select_named(path, names, wanted, &key, &ignored)?,
            None => (0..names.len()).filter(|at| !key.contains(at) && !ignored.contains(at)).collect(),
        };
        if selected.is_empty() {
            return Err(TableError::NoColumns { path: path.to_owned() });
        }
        match selected.iter().find(|&&at| names[at].is_empty()) {
            Some(at) => Err(TableError::UnnamedColumn { path: path.to_owned(), number: at + 1 }),
            None => Ok(selected),
        }
    }

    /// Fails if the `selected` columns cannot be the pixels of `image`, or `[types]` names another column.
    pub(crate) fn check(
        &self,
        path: &Path,
        names: &[String],
        selected: &[usize],
        treatment: &Treatment,
    ) -> Result<(), TableError> {
        check_image(self.image, selected.len())?;
        for name in treatment.types.keys() {
            if !selected.iter().any(|&at| names[at] == *name) {
                names::find(path, names, "types", name)?;
                return Err(named_twice(name, "is named in [types] but not loaded"));
            }
        }
        Ok(())
    }
}

/// The positions of the columns of ids among `names`, each of which is there once: with two of a name, nobody knows which holds
/// the ids.
pub(crate) fn find_key(path: &Path, names: &[String], id: &KeyColumns) -> Result<Vec<usize>, TableError> {
    let mut key = Vec::with_capacity(id.names().len());
    for name in id.names() {
        let at = names::find(path, names, "id", name)?;
        if let Some(later) = names[at + 1..].iter().position(|other| other == name) {
            let (first, second) = (at + 1, at + later + 2);
            return Err(TableError::DuplicateColumn { path: path.to_owned(), first, second });
        }
        key.push(at);
    }
    Ok(key)
}

/// Fails when a name occurs twice.
pub(crate) fn check_names_differ(path: &Path, names: &[String]) -> Result<(), TableError> {
    let mut seen = HashMap::new();
    for (position, name) in names.iter().enumerate() {
        if let Some(earlier) = seen.insert(name, position) {
            if names::looks_like_data(names) {
                return Err(TableError::HeaderLooksLikeData { path: path.to_owned() });
            }
            return Err(TableError::DuplicateColumn {
                path: path.to_owned(),
                first: earlier + 1,
                second: position + 1,
            });
        }
    }
    Ok(())
}

/// Fails when a later file's columns are not those of the first one.
pub(crate) fn check_names_agree(
    path: &Path,
    found: &[String],
    first: &Path,
    names: &[String],
) -> Result<(), TableError> {
    if found == names {
        return Ok(());
    }
    let same = names.iter().zip(found).take_while(|(one, other)| one == other);
    Err(TableError::HeaderDiffers {
        path: path.to_owned(),
        first: first.to_owned(),
        number: same.count() + 1,
        expected: names.len(),
        found: found.len(),
    })
}

/// Fails when the columns cannot be the pixels of `image`.
pub(crate) fn check_image(image: Option<ImageShape>, columns: usize) -> Result<(), TableError> {
    let Some(image) = image else {
        return Ok(());
    };
    let pixels = image.channels.checked_mul(image.height).and_then(|pixels| pixels.checked_mul(image.width));
    if pixels == Some(columns) {
        return Ok(());
    }
    Err(TableError::ImageShape {
        channels: image.channels,
        height: image.height,
        width: image.width,
        columns,
    })
}

fn select_named(
    path: &Path,
    names: &[String],
    wanted: &[String],
    key: &[usize],
    ignored: &HashSet<usize>,
) -> Result<Vec<usize>, TableError> {
    let mut selected = Vec::with_capacity(wanted.len());
    let mut seen = HashSet::new();
    for name in wanted {
        let at = names::find(path, names, "columns", name)?;
        if key.contains(&at) {
            return Err(named_twice(name, "is named in both `id` and `columns`"));
        }
        if ignored.contains(&at) {
            return Err(named_twice(name, "is named in both `columns` and `ignore`"));
        }
        if !seen.insert(at) {
            return Err(named_twice(name, "is named twice in `columns`"));
        }
        selected.push(at);
    }
    Ok(selected)
}

fn named_twice(name: &str, problem: &'static str) -> TableError {
    TableError::ColumnNamedTwice { name: name.to_owned(), problem }
}
