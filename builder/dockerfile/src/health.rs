//! `HEALTHCHECK`: its flags and Go's durations.
//!
//! Knows: that instruction. Refuses to know: who carries a check out.

use crate::flags::{Flags, Takes};
use crate::image::Health;
use crate::split::{self, Json};

const FLAGS: &[(&str, Takes)] = &[
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

pub(crate) fn read(given: &[String], rest: &str) -> Result<Health, String> {
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (kind, rest) = (kind.to_ascii_uppercase(), rest.trim());
    match kind.as_str() {
        "" => return Err("HEALTHCHECK requires at least one argument".to_owned()),
        "NONE" if rest.is_empty() => {
            return Ok(Health { test: vec!["NONE".to_owned()], ..Health::default() });
        }
        "NONE" => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" => {}
        other => return Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
    }
    let flags = Flags::read(given, FLAGS)?;
    let missing = || Err("Missing command after HEALTHCHECK CMD".to_owned());
    let test = match split::json(rest) {
        Json::Others => return Err(crate::instruction::NOT_STRINGS.to_owned()),
        Json::Strings(words) if words.is_empty() => return missing(),
        Json::Strings(words) => [vec!["CMD".to_owned()], words].concat(),
        Json::No if rest.is_empty() => return missing(),
        Json::No => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
    };
    let interval = |name: &str| match flags.text(name) {
        None => Ok(None),
        Some(text) => match duration(&text)? {
            0 => Ok(None),
            nanos if nanos < 1_000_000 => Err(format!("Interval {name:?} cannot be less than 1ms")),
            nanos => Ok(Some(nanos)),
        },
    };
    let retries = match flags.text("retries") {
        None => None,
        Some(text) => match text.parse::<i32>() {
            Ok(count) if count < 0 => {
                return Err(format!("--retries cannot be negative ({count})"));
            }
            Ok(count) => Some(i64::from(count)).filter(|count| *count > 0),
            Err(_) => return Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        },
    };
    Ok(Health {
        test,
        interval: interval("interval")?,
        timeout: interval("timeout")?,
        start_period: interval("start-period")?,
        start_interval: interval("start-interval")?,
        retries,
    })
}

/// Go's durations, in nanoseconds: `1m30s`, `1.5h`, `300ms`.
fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut all = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            other => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
        };
        rest = &rest[letters..];
        all += number * unit;
    }
    match all.is_finite() && all < i64::MAX as f64 {
        true => Ok((sign * all) as i64),
        false => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        let flags: Vec<String> =
            ["--interval=1m30s", "--timeout=1.5s", "--retries=3"].map(str::to_owned).to_vec();
        let health = read(&flags, "CMD curl -f x").unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "curl -f x"]);
        let times = (health.interval, health.timeout, health.start_period, health.retries);
        assert_eq!(times, (Some(90_000_000_000), Some(1_500_000_000), None, Some(3)));
        assert_eq!(read(&[], r#"cmd ["a", "b"]"#).unwrap().test, ["CMD", "a", "b"]);
        assert_eq!(read(&[], "NONE").unwrap().test, ["NONE"]);
        for (flag, rest, wrong) in [
            ("--interval=1", "CMD x", "time: missing unit in duration \"1\""),
            ("--interval=1us", "CMD x", "Interval \"interval\" cannot be less than 1ms"),
            ("--retries=-1", "CMD x", "--retries cannot be negative (-1)"),
            ("--every=1s", "CMD x", "unknown flag: --every"),
            ("--retries=1", "CMD", "Missing command after HEALTHCHECK CMD"),
            ("--retries=1", "RUN x", "Unknown type \"RUN\" in HEALTHCHECK (try CMD)"),
            ("--retries=1", "NONE x", "HEALTHCHECK NONE takes no arguments"),
        ] {
            assert_eq!(read(&[flag.to_owned()], rest).unwrap_err(), wrong);
        }
    }
}
