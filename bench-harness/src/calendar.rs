//! The time of day, as records and logs say it: UTC.

use std::time::SystemTime;

/// Seconds since 1970, as this machine's clock has it.
#[must_use]
pub fn unix_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// A time in seconds since 1970 as `2026-12-31T23:59:59Z`. Any number is one.
#[must_use]
pub fn time_utc(seconds: u64) -> String {
    format!("{}T{:02}:{:02}:{:02}Z", date(seconds), seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// The day of a time in seconds since 1970 as YYYY-MM-DD. Howard Hinnant's civil_from_days.
#[must_use]
pub fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let days = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01")];
        for (seconds, expected) in days {
            assert_eq!(date(seconds), expected);
        }
        assert_eq!(date(4_107_542_400 - 1), "2100-02-28");
        assert_eq!(time_utc(1_798_761_599), "2026-12-31T23:59:59Z");
        assert!(time_utc(u64::MAX).ends_with('Z'), "a damaged file's time is a time");
    }
}
