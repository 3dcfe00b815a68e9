//! Working time, checked minute by minute against chrono's and chrono-tz's calendar.

use chrono::{DateTime, Datelike, Duration, FixedOffset, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use serde_json::json;

use super::set_due_date;
use crate::support::TestSql;
use crate::support::app::TENANT;

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A week's working hours: day (0 is Monday), start, end.
type Week = &'static [(usize, &'static str, &'static str)];

const OFFICE: Week = &[
    (0, "09:00", "17:00"),
    (1, "09:00", "17:00"),
    (2, "09:00", "17:00"),
    (3, "09:00", "17:00"),
    (4, "09:00", "15:30"),
];
/// Over midnight, and over the hours at which clocks change.
const SHIFTS: Week = &[
    (0, "22:00", "06:00"),
    (3, "22:00", "06:00"),
    (5, "22:00", "06:00"),
    (6, "00:00", "06:00"),
];
const ALL_DAY: Week = &[(6, "00:00", "00:00"), (0, "08:00", "12:00")];

/// The minute at which so many working minutes have passed, counted one by one.
fn model<Z: TimeZone>(
    zone: &Z,
    week: Week,
    holidays: &[NaiveDate],
    start: DateTime<Utc>,
    minutes: i64,
) -> DateTime<Utc> {
    let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
    let is_working = |minute: DateTime<Utc>| {
        let local = minute.with_timezone(zone).naive_local();
        let begun_on = |date: NaiveDate| {
            week.iter().any(|(day, from, to)| {
                let (from, to) = (time(from), time(to));
                let over_midnight = to <= from;
                date.weekday().num_days_from_monday() as usize == *day
                    && !holidays.contains(&date)
                    && if date == local.date() {
                        local.time() >= from && (over_midnight || local.time() < to)
                    } else {
                        over_midnight && local.time() < to
                    }
            })
        };
        begun_on(local.date()) || begun_on(local.date().pred_opt().unwrap())
    };
    let (mut minute, mut left) = (start, minutes);
    while left > 0 {
        left -= i64::from(is_working(minute));
        minute += Duration::minutes(1);
    }
    minute
}

impl TestSql {
    async fn working_hours(&self, week: Week, zone: &str, holidays: &[NaiveDate]) {
        self.run("delete from business_hours; delete from holidays").await;
        for (day, name) in DAYS.iter().enumerate() {
            let hours = week.iter().find(|hours| hours.0 == day);
            let row = json!({
                "tenant_id": TENANT, "day_of_week": name, "timezone": zone, "is_working_day": hours.is_some(),
                // What stands on a day off does not count.
                "start_time": hours.map_or("01:00", |hours| hours.1), "end_time": hours.map_or("23:00", |hours| hours.2)
            });
            self.insert("business_hours", row).await;
        }
        for date in holidays {
            self.insert(
                "holidays",
                json!({"tenant_id": TENANT, "date": date, "name": "Holiday"}),
            )
            .await;
        }
    }

    async fn deadline(&self, start: DateTime<Utc>, hours: f64) -> DateTime<Utc> {
        let query = "select dropwire.business_deadline($1::text::uuid, $2, $3::float8::numeric)";
        self.owner
            .query_one(query, &[&TENANT, &start, &hours])
            .await
            .unwrap()
            .get(0)
    }

    async fn agrees_with<Z: TimeZone>(&self, zone: &Z, label: &str, week: Week, from: &str) {
        let from: DateTime<Utc> = from.parse().unwrap();
        let holidays = [from.date_naive() + Duration::days(5)];
        self.working_hours(week, label, &holidays).await;
        for (after, minutes) in [
            (0, 30),
            (7 * 60 + 13, 150),
            (26 * 60, 480),
            (49 * 60 + 59, 1000),
            (75 * 60, 61),
            (5 * 24 * 60 + 600, 1),
        ] {
            let start = from + Duration::minutes(after);
            #[expect(clippy::cast_precision_loss, reason = "a few hours")]
            let hours = minutes as f64 / 60.0;
            let computed = self.deadline(start, hours).await;
            let expected = model(zone, week, &holidays, start, minutes);
            assert!(
                (computed - expected).num_milliseconds().abs() < 10,
                "{label}, {minutes} minutes from {start}: {computed}, not {expected}"
            );
        }
    }
}

#[tokio::test]
async fn working_time_agrees_with_a_calendar_over_week_ends_holidays_and_changes_of_the_clock() {
    let sql = TestSql::start().await;
    // From the Friday before a change: spring and autumn, by an hour and by half of one, in both hemispheres.
    for (zone, from) in [
        (chrono_tz::Europe::Berlin, "2025-03-28T10:00:00Z"),
        (chrono_tz::Europe::Berlin, "2025-10-24T10:00:00Z"),
        (chrono_tz::America::New_York, "2025-03-07T15:00:00Z"),
        (chrono_tz::America::New_York, "2025-10-31T15:00:00Z"),
        (chrono_tz::Australia::Lord_Howe, "2025-04-04T00:00:00Z"),
        (chrono_tz::Australia::Lord_Howe, "2025-10-03T00:00:00Z"),
        (chrono_tz::Asia::Kolkata, "2025-12-30T10:00:00Z"),
        (chrono_tz::Pacific::Kiritimati, "2024-02-27T10:00:00Z"),
    ] {
        for week in [OFFICE, SHIFTS, ALL_DAY] {
            sql.agrees_with(&zone, zone.name(), week, from).await;
        }
    }
}

#[tokio::test]
async fn the_originals_labels_are_their_offsets() {
    let sql = TestSql::start().await;
    for (label, minutes) in [
        ("UTC-08:00 (PST)", -480),
        ("UTC-05:00 (EST)", -300),
        ("UTC+00:00 (GMT)", 0),
        ("UTC+05:30 (IST)", 330),
        ("UTC+13", 780),
        ("GMT-03:30", -210),
        ("utc", 0),
    ] {
        let zone = FixedOffset::east_opt(minutes * 60).unwrap();
        sql.agrees_with(&zone, label, OFFICE, "2025-03-28T10:00:00Z")
            .await;
        sql.agrees_with(&zone, label, SHIFTS, "2025-03-28T10:00:00Z")
            .await;
    }
}

#[tokio::test]
async fn the_end_of_a_window_is_still_in_it_and_what_starts_outside_waits_for_the_next() {
    let sql = TestSql::start().await;
    sql.working_hours(OFFICE, "UTC", &[]).await;
    for (start, hours, expected) in [
        ("2025-06-06T13:30:00Z", 2.0, "2025-06-06T15:30:00Z"), // Friday
        ("2025-06-06T13:30:00Z", 2.5, "2025-06-09T09:30:00Z"),
        ("2025-06-07T12:00:00Z", 1.0, "2025-06-09T10:00:00Z"),
        ("2025-06-09T03:00:00Z", 8.0, "2025-06-09T17:00:00Z"),
        ("2025-06-09T09:00:00Z", 38.5, "2025-06-13T15:30:00Z"),
        ("2025-06-09T09:00:00Z", 385.0, "2025-08-15T15:30:00Z"),
        ("2025-06-09T09:00:00Z", -2.0, "2025-06-09T07:00:00Z"), // backwards, every hour counts
    ] {
        assert_eq!(
            sql.deadline(start.parse().unwrap(), hours).await,
            expected.parse::<DateTime<Utc>>().unwrap(),
            "{hours} hours from {start}"
        );
    }
    assert_eq!(
        "2025-06-06T00:00:00Z".parse::<DateTime<Utc>>().unwrap().weekday(),
        Weekday::Fri
    );
}

#[tokio::test]
async fn without_working_days_every_hour_counts_and_a_zone_nobody_knows_fails_the_rule() {
    let sql = TestSql::start().await;
    sql.working_hours(&[], "UTC", &[]).await;
    let start: DateTime<Utc> = "2025-06-06T13:30:00Z".parse().unwrap();
    assert_eq!(sql.deadline(start, 3.0).await, start + Duration::hours(3));

    for zone in ["Mars/Olympus", "IST", "UTC+99:00", "+3"] {
        sql.working_hours(OFFICE, zone, &[]).await;
        let params = json!({"calculation": "business_hours_from_now", "value": 3});
        let rule = sql.rule(json!({}), &[], &[set_due_date(&params)]).await;
        sql.ticket(json!({})).await;
        assert_eq!(
            sql.rows("select execution_status as status, error_message as error from rule_execution_logs")
                .await,
            json!([{"status": "failed", "error":
                format!("time zone \"{zone}\" is neither an IANA name nor an offset such as UTC+05:30")}]),
            "{rule}"
        );
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn a_rule_sets_both_due_dates_in_the_tenants_working_time() {
    let sql = TestSql::start().await;
    let everyday: Week = &[
        (0, "00:00", "00:00"),
        (1, "00:00", "00:00"),
        (2, "00:00", "00:00"),
        (3, "00:00", "00:00"),
        (4, "00:00", "00:00"),
        (5, "00:00", "00:00"),
        (6, "00:00", "00:00"),
    ];
    let today = Utc::now().date_naive();
    sql.working_hours(everyday, "UTC", &[today, today + Duration::days(1)])
        .await;
    let params = json!({"calculation": "business_hours_from_now", "value": 36});
    sql.rule(json!({}), &[], &[set_due_date(&params)]).await;
    sql.ticket(json!({})).await;
    // Both holidays over, and a day and a half of working time.
    let due = "select due_date = date_trunc('day', created_at at time zone 'UTC') at time zone 'UTC' + interval '84 hours' as due,
                      due_date = sla_due_date as both from tickets";
    assert_eq!(sql.rows(due).await, json!([{"due": true, "both": true}]));
}
