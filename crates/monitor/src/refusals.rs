//! Why a coordinator refuses somebody: a closed set of words, so that each is told from the start, with a count of 0.

/// All reasons, in the words of the audit trail.
pub const REFUSALS: [&str; 43] = [
    "busy",
    "connection-broke",
    "expired",
    "gave-up",
    "joined-already",
    "left",
    "list-expired",
    "list-of-other",
    "nameless",
    "no-certificate",
    "no-enrol",
    "no-hello",
    "no-holder",
    "no-records",
    "no-return",
    "not-counted",
    "not-expected",
    "not-now",
    "not-permitted",
    "not-yet-valid",
    "number-of-records",
    "older-log",
    "other-bottom-model",
    "other-key",
    "other-name",
    "other-records",
    "other-role",
    "other-run",
    "other-settings",
    "over-its-quota",
    "protocol-version",
    "records-left-out",
    "returns-wait",
    "revoked",
    "run-over",
    "settings-digest",
    "silent",
    "stranger",
    "this-side-failed",
    "too-often",
    "unknown-party",
    "unusable",
    "unusable-message",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The texts in quotes of the function that begins with `head` in a source.
    fn words_of<'a>(source: &'a str, head: &str) -> Vec<&'a str> {
        let (_, rest) = source.split_once(head).unwrap_or_else(|| panic!("no {head}"));
        let (before, _) = head.split_once("fn ").unwrap();
        let indent = before.len() - before.trim_start().len();
        let (body, _) = rest.split_once(&format!("\n{}}}\n", &head[..indent])).unwrap();
        body.split('"').skip(1).step_by(2).collect()
    }

    /// The first text in quotes behind each `begin`, within the parentheses that it opens.
    fn words_behind<'a>(source: &'a str, begin: &str) -> Vec<&'a str> {
        let within = source.split(begin).skip(1).filter_map(|rest| rest.split(')').next());
        within.filter_map(|within| within.split('"').nth(1)).collect()
    }

    #[test]
    fn the_words_are_those_that_the_sources_have() {
        let method = "    pub fn reason(&self) -> &'static str {";
        let relay = include_str!("../../../coordinator/src/relay.rs");
        let serving = include_str!("../../../coordinator/src/serving/party_stream.rs");
        let mut words = Vec::new();
        words.extend(words_of(include_str!("../../transport/src/handshake.rs"), method));
        words.extend(words_of(include_str!("../../core/src/protocol/admission.rs"), method));
        words.extend(words_of(include_str!("../../../coordinator/src/permissions/joins.rs"), method));
        let kind = "    pub fn kind(&self) -> &'static str {";
        words.extend(words_of(include_str!("../../identity/src/refusal.rs"), kind));
        let denied = "fn why_denied(denied: &Denied) -> &'static str {";
        words.extend(words_of(include_str!("../../../coordinator/src/serving/service.rs"), denied));
        let refused = "fn why_it_was_refused(error: &anyhow::Error) -> &'static str {";
        words.extend(words_of(serving, refused));
        words.extend(words_behind(relay, "NotAdmitted::of("));
        words.extend(words_behind(relay, "holder: None, why: "));
        let gate = include_str!("../../transport/src/limits/gate.rs");
        words.extend(words_behind(gate, "self.count(Some(who), "));
        let words: BTreeSet<&str> = words.into_iter().collect();
        assert_eq!(words, BTreeSet::from(REFUSALS));
        assert!(REFUSALS.is_sorted());
    }
}
