//! VFLAIR's defence capability score (Zou et al. 2024), for comparison with tables of its readers.

/// Weight of the task's loss against the attack's gain in VFLAIR's tables.
pub const BETA: f64 = 0.5;

/// `1 / (1 + sqrt((1 - beta) a^2 + beta m^2))`, in (0, 1], 1 for a defence that stops the attack at no cost.
///
/// `attack` is the attack's performance above its ideal of 0, for reconstruction `1 - MSE`; `lost` is what the
/// task's metric loses to the defence. Both are fractions, taken as 0 if negative. `1 - MSE` flatters attacks:
/// columns that vary little have a small MSE, whatever is guessed.
pub fn defence_capability(attack: f64, lost: f64, beta: f64) -> f64 {
    let (attack, lost) = (attack.max(0.0), lost.max(0.0));
    1.0 / (1.0 + ((1.0 - beta) * attack * attack + beta * lost * lost).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(defence_capability(0.0, 0.0, BETA), 1.0);
        assert_eq!(defence_capability(-0.3, -0.1, BETA), 1.0);
        // sqrt((0.36 + 0.64) / 2) = 0.70711.
        assert!((defence_capability(0.6, 0.8, BETA) - 0.585_786_437_626_905).abs() < 1e-12);
        assert_eq!(defence_capability(1.0, 0.0, 0.0), 0.5);
    }
}
