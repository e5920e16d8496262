//! What can be wrong with rows, settings and files. Messages hold sizes, never values.

/// Why a detector cannot be fitted, cannot score, or cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DetectorError {
    /// Codes of other lengths.
    #[error(
        "the detectors were fitted on codes of {fitted:?} bits (one length per party), but these codes have {found:?} \
         bits: fit the detectors again on codes of this run"
    )]
    CodeLengths {
        /// Bits of each party's code, as fitted.
        fitted: Vec<usize>,
        /// Bits of each party's code, as given.
        found: Vec<usize>,
    },
    /// Rows of another width.
    #[error(
        "{what} have {found} values per row, but the detector was fitted on {fitted}: fit it again on rows of this \
         kind"
    )]
    Width {
        /// What is too wide or too narrow.
        what: &'static str,
        /// Values per row, as fitted.
        fitted: usize,
        /// Values per row, as given.
        found: usize,
    },
    /// Parts of rows with different numbers of records.
    #[error("{what} have {found} rows, but the other parts have {expected}: pass the same records to each")]
    Rows {
        /// What does not fit.
        what: &'static str,
        /// Rows of the other parts.
        expected: usize,
        /// Rows of this part.
        found: usize,
    },
    /// A value that is infinite or not a number.
    #[error("{what}: a value is not finite; clean the values first")]
    NotFinite {
        /// What holds the value.
        what: &'static str,
    },
    /// Too few normal rows.
    #[error("{what} needs at least {needed} normal rows and got {found}: provide more records")]
    TooFewRows {
        /// What is fitted.
        what: &'static str,
        /// Rows needed.
        needed: usize,
        /// Rows given.
        found: usize,
    },
    /// A calibration set in which no p-value can be as low as the level.
    #[error(
        "{found} calibration rows{} are too few for the level {level}: at least {needed} are needed, from normal \
         records on which neither models nor detectors were fitted",
        if *per_class { " of any class" } else { "" }
    )]
    Level {
        /// The level asked for, after it was divided among what is combined.
        level: f64,
        /// Rows needed.
        needed: usize,
        /// Rows given, of the largest class where classes are calibrated apart.
        found: usize,
        /// Whether classes are calibrated apart.
        per_class: bool,
    },
    /// A calibration part of a run that is too small for the level.
    #[error(
        "detectors.level = {level} needs {needed} calibrating records, but only {found} of the calibration part's \
         {records} records are left for that: raise run.calibration_fraction so that the part has at least {of_all} \
         records, or raise the level"
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
    /// A run without a calibration part.
    #[error(
        "{what} needs run.calibration_fraction above 0: records on which detectors are fitted and calibrated"
    )]
    NoPart {
        /// The setting that needs it.
        what: &'static str,
    },
    /// Settings that name no detector.
    #[error("kinds must name a detector, one or more of: {known}")]
    NoKinds {
        /// The detectors that there are.
        known: String,
    },
    /// A level or fraction outside its range.
    #[error("{what} = {value}, but it must be above 0 and below 1")]
    Fraction {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A class that nothing was fitted or calibrated for.
    #[error(
        "class {class} is unknown: the detectors were fitted on {known} classes; fit them again on records of all classes"
    )]
    Class {
        /// The class.
        class: u32,
        /// Classes known.
        known: usize,
    },
    /// A size beyond what is allowed.
    #[error("{what}: {found}, but the limit is {limit}")]
    Limit {
        /// What is too large or too small.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Nothing to combine.
    #[error("no detector was chosen: name at least one")]
    Empty,
    /// A file that cannot be written.
    #[error("{0}")]
    Unwritten(String),
    /// A file that holds no detectors, or a damaged file.
    #[error("the file of detectors cannot be read: {0}; fit them again")]
    Format(String),
    /// A file of another version.
    #[error(
        "the file of detectors has version {found}, but this program reads version {expected}: fit them again"
    )]
    Version {
        /// The version that this program writes.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
}

impl DetectorError {
    /// Refuses a `value` that is not above 0 and below 1.
    pub(crate) fn fraction(what: &'static str, value: f64) -> Result<(), Self> {
        if value > 0.0 && value < 1.0 { Ok(()) } else { Err(Self::Fraction { what, value }) }
    }

    /// Refuses fewer than `needed` rows.
    pub(crate) fn rows(what: &'static str, needed: usize, found: usize) -> Result<(), Self> {
        if found >= needed { Ok(()) } else { Err(Self::TooFewRows { what, needed, found }) }
    }

    /// Refuses a part with other than `expected` rows.
    pub(crate) fn same_rows(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Rows { what, expected, found }) }
    }

    /// Refuses rows of another width than `fitted`.
    pub(crate) fn width(what: &'static str, fitted: usize, found: usize) -> Result<(), Self> {
        if fitted == found { Ok(()) } else { Err(Self::Width { what, fitted, found }) }
    }

    /// Refuses a size above `limit`.
    pub(crate) fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Self> {
        if found <= limit { Ok(()) } else { Err(Self::Limit { what, found, limit }) }
    }

    /// Refuses codes of other lengths than `fitted`.
    pub(crate) fn code_lengths(fitted: &[usize], found: &[usize]) -> Result<(), Self> {
        if fitted == found {
            return Ok(());
        }
        Err(Self::CodeLengths { fitted: fitted.to_vec(), found: found.to_vec() })
    }

    /// Refuses stored fields that contradict each other.
    pub(crate) fn stored(fits: bool, what: &str) -> Result<(), Self> {
        if fits { Ok(()) } else { Err(Self::Format(format!("the parts of {what} contradict each other"))) }
    }
}
