//! Times as certificates hold them: whole seconds since 1970, and their dates for a person.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// Seconds since 1970, by this machine's clock.
pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// As a library of certificates takes it; a time that is no date counts as 1970.
pub fn date_time(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A date for a person, such as `2027-01-31`, in UTC.
pub fn date(seconds: i64) -> String {
    date_time(seconds).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_800_000_000), "2027-01-15");
        assert!(now_s() > 1_700_000_000);
    }
}
