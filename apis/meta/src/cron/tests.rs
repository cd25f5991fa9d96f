//! Syntax, errors and times, as the library has them.

use super::*;

fn next(schedule: &str, after: &str, name: &str) -> String {
    let schedule = Schedule::parse(schedule).expect(schedule);
    let zone = zone(name).expect(name);
    let time = schedule.next(after.parse().expect(after), &zone);
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

#[test]
fn wrong_schedules_are_told_in_the_words_of_the_library() {
    for (schedule, why) in [
        ("", "empty spec string"),
        ("1", "expected exactly 5 fields, found 1: [1]"),
        ("* * * *  * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("- * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\""),
        (
            "@every 5d",
            "failed to parse duration @every 5d: time: unknown unit \"d\" in duration \"5d\"",
        ),
        ("TZ=Nowhere 0 0 * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
        ("TZ=UTC", "expected exactly 5 fields, found 0: []"),
    ] {
        assert_eq!(Schedule::parse(schedule), Err(why.to_owned()), "{schedule}");
    }
}

#[test]
fn schedules_find_the_next_time() {
    let after = "2026-01-01T10:30:15.5Z";
    for (schedule, want) in [
        ("* * * * *", "2026-01-01T10:31:00Z"),
        ("*/20 * * * *", "2026-01-01T10:40:00Z"),
        ("30 10 * * *", "2026-01-02T10:30:00Z"),
        ("0 0 1 */3 *", "2026-04-01T00:00:00Z"),
        ("15,45 8-18/5 * JAN-feb Mon", "2026-01-05T08:15:00Z"),
        // Both days are restricted: either fits.
        ("0 0 13 * fri", "2026-01-02T00:00:00Z"),
        // A day of every month, and a star with a step is none.
        ("0 0 13 * *", "2026-01-13T00:00:00Z"),
        ("0 0 */2 * sun", "2026-01-03T00:00:00Z"),
        ("0 0 29 2 ?", "2028-02-29T00:00:00Z"),
        ("0 0 31 2 *", "never"),
        ("5/25 * * * *", "2026-01-01T10:55:00Z"),
        ("@hourly", "2026-01-01T11:00:00Z"),
        ("@daily", "2026-01-02T00:00:00Z"),
        ("@weekly", "2026-01-04T00:00:00Z"),
        ("@monthly", "2026-02-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("@every 1h30m10s", "2026-01-01T12:00:25Z"),
        ("@every 1ms", "2026-01-01T10:30:16Z"),
    ] {
        assert_eq!(next(schedule, after, "UTC"), want, "{schedule}");
    }
    assert_eq!(next("0 9 * * *", after, "America/New_York"), "2026-01-01T14:00:00Z");
}

#[test]
fn clocks_that_are_set_skip_and_repeat_nothing_else() {
    // 02:30 does not exist on the 29th of March in Berlin.
    let berlin = "Europe/Berlin";
    assert_eq!(next("30 2 * * *", "2026-03-28T02:00:00Z", berlin), "2026-03-30T00:30:00Z");
    assert_eq!(next("0 * * * *", "2026-03-29T00:30:00Z", berlin), "2026-03-29T01:00:00Z");
    // Midnight did not exist on the 4th of November 2018 in Sao Paulo.
    assert_eq!(
        next("0 5 * * *", "2018-11-03T20:00:00Z", "America/Sao_Paulo"),
        "2018-11-04T07:00:00Z"
    );
}

#[test]
fn zones_are_known_by_their_exact_names() {
    assert!(zone("Europe/Berlin").is_some() && zone("UTC").is_some());
    assert!(zone("europe/berlin").is_none() && zone("Local").is_none() && zone("").is_none());
}
