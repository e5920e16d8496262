//! Names of figures, and how each is written.

/// Name of the attack that estimates the conditional mean.
pub const CONDITIONAL_MEAN: &str = "conditional mean";
/// Name of the baseline that sees no code.
pub const NO_CODE: &str = "no code";
/// Share of the variance that an attack explains: skill over the columns' means.
pub const SKILL: &str = "skill over mean";
/// Skill over the class means.
pub const SKILL_CLASS: &str = "skill over class mean";
/// The headline ([`AttackResult::headline`](super::AttackResult::headline)) less that of the baseline
/// ([`Report::baseline_of`](super::Report::baseline_of)), with its interval paired by record.
pub const ADDED: &str = "added to baseline";
/// Scaled error left on the best reconstructed 1 % of records ([`worst_fraction`](crate::metrics::worst)).
pub const WORST: &str = "error left, worst 1 %";
/// R2 of the column of a table that is had back best.
pub const BEST_COLUMN: &str = "best column's R2";
/// Balanced accuracy over columns with few values.
pub const BALANCED: &str = "balanced accuracy";
/// Top-1 re-identification.
pub const TOP1: &str = "top-1";
/// Mean squared error.
pub const MSE: &str = "MSE";
/// Peak signal-to-noise ratio in dB.
pub const PSNR: &str = "PSNR";
/// Structural similarity.
pub const SSIM: &str = "SSIM";
/// Labels guessed right.
pub const ACCURACY: &str = "accuracy";
/// Area under the ROC curve.
pub const AUC: &str = "AUC";
/// Bits of a code got right.
pub const BITS: &str = "bits of the code";
/// VFLAIR's defence capability score.
pub const DCS: &str = "DCS";

/// The defence of a result from predictions, where codes or floats are under `defence`.
pub fn predictions_of(defence: &str) -> String {
    format!("predictions from: {defence}")
}

/// The order of columns in a table; other names follow.
pub(super) const ORDER: [&str; 14] = [
    SKILL,
    ADDED,
    SKILL_CLASS,
    WORST,
    BEST_COLUMN,
    TOP1,
    BALANCED,
    ACCURACY,
    AUC,
    BITS,
    MSE,
    PSNR,
    SSIM,
    DCS,
];

/// Whether the figure is a share, which is written in per cent.
pub(super) fn is_fraction(name: &str) -> bool {
    [SKILL, SKILL_CLASS, ADDED, WORST, BEST_COLUMN, BALANCED, TOP1, ACCURACY, BITS].contains(&name)
}

/// The unit of a figure behind its name: ", %" or nothing.
pub(super) fn unit(name: &str) -> &'static str {
    match name {
        PSNR => ", dB",
        _ if is_fraction(name) => ", %",
        _ => "",
    }
}
