//! A key that a config file misspells: the error names the key that is meant, in place of all that there are.

use strsim::levenshtein;

/// What a parser of TOML says before the name of a key that nobody reads.
const UNKNOWN: &str = "unknown field `";

/// What a parser says of a text, with the key that an unknown one resembles; `more` are keys that the parser does not know of.
pub(super) fn with_meant_key(said: &str, more: &[&str]) -> String {
    let unknown = said.split_once(UNKNOWN).and_then(|(before, rest)| Some((before, rest.split_once('`')?)));
    let Some((before, (unknown, known))) = unknown else { return said.to_string() };
    // Names stand between backticks: every second part.
    let known = known.split('`').skip(1).step_by(2).chain(more.iter().copied());
    let meant = known.map(|key| (levenshtein(key, unknown), key)).filter(|(edits, _)| *edits > 0).min();
    match meant {
        Some((edits, meant)) if edits <= most_edits(unknown) => {
            format!(
                "{before}{UNKNOWN}{unknown}`: did you mean `{meant}`? docs/reference/config.md has every key"
            )
        }
        _ => said.to_string(),
    }
}

/// Letters in which a misspelt key may differ from the one that is meant.
fn most_edits(unknown: &str) -> usize {
    if unknown.chars().count() < 4 { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_names_the_one_that_is_meant() {
        let said = |unknown: &str| {
            with_meant_key(
                &format!("line 3: unknown field `{unknown}`, expected one of `run_id`, `bits`"),
                &["preset"],
            )
        };
        let meant =
            "line 3: unknown field `bit`: did you mean `bits`? docs/reference/config.md has every key";
        assert_eq!(said("bit"), meant);
        assert!(said("preest").contains("did you mean `preset`?"));
        for other in ["nonsense", "preset", "b"] {
            assert!(said(other).ends_with("expected one of `run_id`, `bits`"), "{}", said(other));
        }
        assert_eq!(with_meant_key("missing field `run`", &[]), "missing field `run`");
        let alone = with_meant_key("unknown field `rum`, expected `run`", &[]);
        assert!(alone.contains("did you mean `run`?"), "{alone}");
    }
}
