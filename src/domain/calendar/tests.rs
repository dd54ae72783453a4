use proptest::prelude::*;

use super::*;

fn calendar(utc_offset: &str, weekend: &[Weekday], holidays: &[&str]) -> Calendar {
    Calendar {
        utc_offset: utc_offset.parse().unwrap(),
        weekend: BTreeSet::from_iter(weekend.iter().copied()).try_into().unwrap(),
        holidays: holidays.iter().map(|date| date.parse().unwrap()).collect(),
    }
}

const WEEKEND: [Weekday; 2] = [Weekday::Saturday, Weekday::Sunday];

#[test]
fn working_days_end_when_the_last_of_them_is_over() {
    let seoul = calendar(
        "+09:00",
        &WEEKEND,
        &["2026-12-25", "2027-01-01", "2027-02-08", "2027-02-09", "2028-02-29"],
    );
    let gulf = calendar("+04:00", &[Weekday::Friday], &[]);
    let west = calendar("-12:00", &WEEKEND, &[]);
    let daily = calendar("+00:00", &[], &[]);
    for (why, calendar, from, count, end) in [
        ("a Monday; Tuesday is the first", &seoul, "2026-11-23T01:00", 1, "2026-11-24T15:00"),
        ("the day it begins in is not counted", &seoul, "2026-11-23T14:59", 1, "2026-11-24T15:00"),
        ("which is the day there", &seoul, "2026-11-23T15:00", 1, "2026-11-25T15:00"),
        ("over a weekend", &seoul, "2026-11-27T01:00", 1, "2026-11-30T15:00"),
        ("from a weekend", &seoul, "2026-11-28T01:00", 1, "2026-11-30T15:00"),
        ("two weeks", &seoul, "2026-11-23T01:00", 10, "2026-12-07T15:00"),
        (
            "Christmas, New Year and three weekends",
            &seoul,
            "2026-12-18T01:00",
            10,
            "2027-01-05T15:00",
        ),
        (
            "a holiday on a Monday and the next day",
            &seoul,
            "2027-02-05T01:00",
            1,
            "2027-02-10T15:00",
        ),
        ("the day that leap years have", &seoul, "2028-02-28T01:00", 1, "2028-03-01T15:00"),
        ("the year after the last one listed", &seoul, "2028-12-29T01:00", 1, "2029-01-01T15:00"),
        ("where Friday alone is free", &gulf, "2026-11-26T01:00", 2, "2026-11-29T20:00"),
        ("behind UTC", &west, "2026-11-24T11:59", 1, "2026-11-25T12:00"),
        ("nobody rests", &daily, "2026-12-31T23:59", 1, "2027-01-02T00:00"),
    ] {
        let at = |text: &str| format!("{text}:00.000Z").parse::<Timestamp>().unwrap();
        assert_eq!(calendar.after(at(from), count).to_string(), at(end).to_string(), "{why}");
    }
    assert_eq!(seoul.after(Timestamp::MAX, 366), Timestamp::MAX, "the end of time");
}

#[test]
fn days_and_offsets_have_one_text() {
    for text in
        ["2026-02-29", "2026-13-01", "2026-1-1", "20260101", "1969-12-31", "2026-01-01T", ""]
    {
        assert!(text.parse::<Date>().is_err(), "{text}");
    }
    for text in
        ["+9:00", "09:00", "+09:60", "+14:01", "-00:00", "+0900", "+09:00 ", "Z", "", "한글"]
    {
        assert!(text.parse::<UtcOffset>().is_err(), "{text}");
    }
    for text in ["0wd", "367wd", "wd", "-1wd", "1.5wd", "10 wd", "10w", "10"] {
        assert!(text.parse::<Period>().is_err(), "{text}");
    }
    for text in ["10wd", "10d", "0s", "366wd"] {
        assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
    }
    for text in ["+09:00", "-03:30", "+00:00", "+14:00"] {
        assert_eq!(text.parse::<UtcOffset>().unwrap().to_string(), text);
    }
    let every_day = serde_json::to_string(&Weekday::ALL).unwrap();
    assert!(serde_json::from_str::<Weekend>(&every_day).is_err(), "somebody has to work");
}

proptest! {
    #[test]
    fn weekdays_are_those_of_the_time_crate(day in 0..2_932_896i64) {
        let theirs = ::time::OffsetDateTime::from_unix_timestamp(day * 86_400).unwrap();
        let ours = format!("{:?}", Weekday::of(day));
        prop_assert_eq!(ours, theirs.weekday().to_string());
        prop_assert_eq!(Date(day).to_string(), theirs.date().to_string());
    }

    #[test]
    fn the_longest_is_the_longest_of_all_beginnings(
        holidays in prop::collection::btree_set(20_000..20_040i64, 0..12),
        free in prop::collection::btree_set(0..7usize, 0..4),
        count in 1..12u16,
    ) {
        let calendar = Calendar {
            utc_offset: "+09:00".parse().unwrap(),
            weekend: Weekend(free.into_iter().map(|day| Weekday::ALL[day]).collect()),
            holidays: holidays.into_iter().map(Date).collect(),
        };
        let days = (19_800..20_100).map(|day| calendar.nth_after(day, count) - day + 1).max();
        let longest = Span::days(days.unwrap() as u64);
        prop_assert_eq!(calendar.longest(count), longest);
    }
}
