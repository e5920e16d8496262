//! What can be wrong with rows, settings and files. Messages hold sizes, never values.

/// Why a detector cannot be fitted, cannot score, or cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DetectorError {
    /// Codes of other lengths.
    #[error(
        "the detectors were fitted on codes of {fitted:?} bits, one length a party, and these are of {found:?} bits: \
         fit the detectors again on codes of this run"
    )]
    CodeLengths {
        /// Bits of each party's code, as fitted.
        fitted: Vec<usize>,
        /// Bits of each party's code, as given.
        found: Vec<usize>,
    },
    /// Rows of another width.
    #[error(
        "{what} of {found} values a row, the detector was fitted on {fitted}: fit it again on rows of this kind"
    )]
    Width {
        /// What is too wide or narrow.
        what: &'static str,
        /// Values a row, as fitted.
        fitted: usize,
        /// Values a row, as given.
        found: usize,
    },
    /// Parts of the rows that are of different numbers of records.
    #[error("{what} of {found} rows beside {expected} rows of the rest")]
    Rows {
        /// What does not fit.
        what: &'static str,
        /// Rows of the rest.
        expected: usize,
        /// Rows of it.
        found: usize,
    },
    /// A value that is no number.
    #[error("{what}: a value is not finite; clean the values first")]
    NotFinite {
        /// What holds it.
        what: &'static str,
    },
    /// Too few normal rows.
    #[error("{what} needs {needed} normal rows at least and got {found}")]
    TooFewRows {
        /// What is fitted.
        what: &'static str,
        /// Rows needed.
        needed: usize,
        /// Rows given.
        found: usize,
    },
    /// A calibration set on which no p-value can be as low as the level.
    #[error(
        "{found} calibration rows{of} cannot tell a level of {level}: at least {needed} rows are needed, of normal \
         records that fitted neither the models nor the detectors"
    )]
    Level {
        /// The level asked for, after it was divided among what is combined.
        level: f64,
        /// Rows needed.
        needed: usize,
        /// Rows given.
        found: usize,
        /// " of class C", or nothing.
        of: String,
    },
    /// A calibration part of a run that is too small for the level.
    #[error(
        "detectors.level = {level} needs {needed} calibration records, and {found} of the {records} of \
         run.calibration_fraction are left for that beside those that fit the detectors: raise the share to at least \
         {of_all} records, or the level"
    )]
    Part {
        /// The level asked for.
        level: f64,
        /// Records that must calibrate.
        needed: usize,
        /// Records that do.
        found: usize,
        /// Records of the part.
        records: usize,
        /// Records that the part needs.
        of_all: usize,
    },
    /// A level or share outside its range.
    #[error("{what} = {value}, expected a number above 0 and below 1")]
    Share {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A class that nothing was fitted or calibrated for.
    #[error("class {class} is unknown here: {known} classes were calibrated")]
    Class {
        /// The class.
        class: u32,
        /// Classes known.
        known: usize,
    },
    /// A size beyond what is allowed.
    #[error("{what}: {found}, the limit is {limit}")]
    Limit {
        /// What is too large or too small.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Detectors without members.
    #[error("no detector was chosen: name at least one")]
    Empty,
    /// A file that is no file of detectors, or a damaged one.
    #[error("no detectors can be read: {0}; fit them again")]
    Format(String),
    /// A file of another version.
    #[error("a file of detectors of version {found}, this program reads version {expected}: fit them again")]
    Version {
        /// The version this program writes.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
}

impl DetectorError {
    /// Refuses what is no share.
    pub(crate) fn share(what: &'static str, value: f64) -> Result<(), Self> {
        if value > 0.0 && value < 1.0 { Ok(()) } else { Err(Self::Share { what, value }) }
    }

    /// Refuses fewer than `needed` rows.
    pub(crate) fn rows(what: &'static str, needed: usize, found: usize) -> Result<(), Self> {
        if found >= needed { Ok(()) } else { Err(Self::TooFewRows { what, needed, found }) }
    }

    /// Refuses rows of another width than `fitted`.
    pub(crate) fn width(what: &'static str, fitted: usize, found: usize) -> Result<(), Self> {
        if fitted == found { Ok(()) } else { Err(Self::Width { what, fitted, found }) }
    }

    /// Refuses stored parts that do not fit together.
    pub(crate) fn stored(fits: bool, what: &str) -> Result<(), Self> {
        if fits { Ok(()) } else { Err(Self::Format(format!("{what} does not fit together"))) }
    }
}
