//! Times as the API writes them, and ages as `kubectl` shows them.
//!
//! Knows: RFC 3339 with seconds (`Time`) and microseconds (`MicroTime`). Refuses to know: what time it is now.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `metav1.Time`: RFC 3339 in UTC, whole seconds, such as `2026-11-21T03:11:03Z`.
pub fn seconds(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: RFC 3339 in UTC with six digits of fraction.
pub fn micros(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads an RFC 3339 time, with any offset and any fraction.
pub fn parse(text: &str) -> Option<Timestamp> {
    // Go demands the full form; jiff also takes small letters, a space for the T, and a zone's name.
    let bytes = text.as_bytes();
    let full = bytes.len() >= 20 && bytes[10] == b'T' && bytes[13] == b':' && bytes[16] == b':';
    let plain = bytes
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b':' | b'.' | b'T' | b'Z'));
    if full && plain { text.parse().ok() } else { None }
}

/// The time from `from` to `now` as `kubectl` shows ages: `45s`, `3m20s`, `5h10m`, `3d4h`, `2y10d`.
pub fn age(from: Timestamp, now: Timestamp) -> String {
    let nanos = now.as_nanosecond() - from.as_nanosecond();
    // The truncation is Go's: towards zero.
    human(i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX))
}

/// A span of whole seconds as `kubectl` shows it.
pub fn human(seconds: i64) -> String {
    // One second of clock skew is forgiven.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    if seconds < 0 {
        return "0s".to_owned();
    }
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    let years = days / 365;
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match () {
        () if seconds < 60 * 2 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 60 * 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{days}d"),
        () if hours < 24 * 365 * 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_shows_them() {
        let minute = 60;
        let hour = 60 * minute;
        let day = 24 * hour;
        for (seconds, want) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (10 * minute + 59, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (7 * hour + 59 * minute, "7h59m"),
            (8 * hour, "8h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (7 * day + 23 * hour, "7d23h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (740 * day, "2y10d"),
            (8 * 365 * day, "8y"),
        ] {
            assert_eq!(human(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn times_are_written_and_read() {
        let time = parse("2026-11-21T04:11:03.123456+01:00").expect("a time");
        assert_eq!(seconds(time), "2026-11-21T03:11:03Z");
        assert_eq!(micros(time), "2026-11-21T03:11:03.123456Z");
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21 03:11:03Z",
            "2026-11-21T03:11Z",
            "now",
            "2026-11-21T03:11:03z",
            "2026-11-21T03:11:03Z[UTC]",
            "2026-13-21T03:11:03Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
