//! Sizes, times and rates as people write them: `64KiB`, `10s`, `500/s`.

use std::fmt;
use std::time::Duration;

/// Parses a size in bytes.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1_usize,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        unit => return Err(format!("unknown unit {unit:?}; write 65536, 64KiB or 1MiB")),
    };
    let number: usize = digits.parse().map_err(|_| "write a size like 65536, 64KiB or 1MiB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "this is too large".to_owned())
}

/// Parses the size of a message that this program holds in memory: 1 GiB at most.
pub(crate) fn message_size(text: &str) -> Result<usize, String> {
    size(text).and_then(|size| if size <= 1 << 30 { Ok(size) } else { Err("write at most 1GiB".to_owned()) })
}

/// Shows bytes in the largest unit that fits.
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(power, _)| self.0 >= 1 << power) {
            Some((power, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1_usize << power) as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// Parses a time from a microsecond to 12 days. Without a unit, it is in seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("unknown unit {unit:?}; write 500ms, 10s, 5m or 1h")),
    };
    let number: f64 = digits.parse().map_err(|_| "write a time like 500ms, 10s, 5m or 1h".to_owned())?;
    let seconds = number * factor;
    if !(1e-6..=12.0 * 86_400.0).contains(&seconds) {
        return Err("write a time between 1us and 288h".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parses a number as people write it: `10000`, `10,000`, `10_000`, `10k`, `1.5M`.
fn number(text: &str) -> Result<f64, String> {
    let wrong = || "write a number like 10000, 10,000 or 10k".to_owned();
    let (digits, factor) = match text.as_bytes() {
        [.., b'k' | b'K'] => (&text[..text.len() - 1], 1e3),
        [.., b'M'] => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    // Marks stand before three digits each, so that 1,5 is not taken for 15.
    let whole = digits.split('.').next().unwrap_or(digits);
    let mut groups = whole.split([',', '_']);
    let first = groups.next().unwrap_or_default();
    let is_grouped = whole.len() > first.len();
    if is_grouped && (!(1..=3).contains(&first.len()) || groups.any(|group| group.len() != 3)) {
        return Err(wrong());
    }
    let plain: String = digits.chars().filter(|c| !matches!(c, ',' | '_')).collect();
    let is_number = plain.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = plain.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    Ok(number * factor)
}

/// Parses a count from 1 to `most`.
fn count(text: &str, most: u64) -> Result<u64, String> {
    let number = number(text)?;
    if number.fract() != 0.0 {
        return Err("write a whole number".to_owned());
    }
    if !(1.0..=most as f64).contains(&number) {
        return Err(format!("{text} is not in 1..={most}"));
    }
    Ok(number as u64)
}

/// Parses a count from 1 to `MOST`.
pub(crate) fn count_to<const MOST: u32>(text: &str) -> Result<u32, String> {
    count(text, MOST.into()).map(|number| number as u32)
}

/// Parses a rate and returns it per second: `500`, `500/s`, `30/m`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        None => (text, 1.0),
        Some((number, "s")) => (number, 1.0),
        Some((number, "m" | "min")) => (number, 60.0),
        Some((_, unit)) => return Err(format!("unknown unit {unit:?}; write 500/s or 30/m")),
    };
    let number = self::number(number).map_err(|_| "write a rate like 500/s or 30/m".to_owned())?;
    let rate = number / seconds;
    if (1e-6..=1e9).contains(&rate) { Ok(rate) } else { Err("write a rate above zero, like 500/s".to_owned()) }
}

/// Parses a share above 0, like `50%`, and returns it from 0 to 1.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let is_plain = |digits: &&str| digits.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    let percent = text.strip_suffix('%').filter(is_plain).and_then(|digits| digits.parse::<f64>().ok());
    let share = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0).map(|percent| percent / 100.0);
    share.ok_or_else(|| "write a share like 0.1% or 50%, at most 100%".to_owned())
}

/// Writes `19000` as `19,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of things: `1 connection`, `2,000 connections`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Writes a number with three digits, or with all digits before the point: `0.123`, `12.3`,
/// `12,345`.
pub(crate) fn decimal(number: f64) -> String {
    let places = match number.abs() {
        size if size >= 100.0 || size == 0.0 => return grouped(number.round().max(0.0) as u64),
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{number:.places$}")
}

/// Writes a time in nanoseconds with a unit that fits.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 1e3 => format!("{} ns", decimal(nanos)),
        nanos if nanos < 1e6 => format!("{} us", decimal(nanos / 1e3)),
        nanos if nanos < 1e9 => format!("{} ms", decimal(nanos / 1e6)),
        nanos => format!("{} s", decimal(nanos / 1e9)),
    }
}

/// Writes bytes in the largest unit in which there are at least ten.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 10_240.0 => format!("{} bytes", decimal(bytes)),
        bytes if bytes < f64::from(10 << 20) => format!("{} KiB", decimal(bytes / 1024.0)),
        bytes if bytes < f64::from(1 << 30) * 10.0 => format!("{} MiB", decimal(bytes / f64::from(1 << 20))),
        bytes => format!("{} GiB", decimal(bytes / f64::from(1 << 30))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!([Size(7), Size(1_536), Size(64 << 20)].map(|size| size.to_string()), ["7 B", "1.5 KiB", "64.0 MiB"]);
        assert!(size("1MB").is_err() && size("").is_err() && size("-1").is_err() && size("99999999999GiB").is_err());
    }

    #[test]
    fn times_and_rates_are_parsed() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "-1s", "0s", "1d", "NaN", "inf", "9999h"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!((rate("500/s"), rate("500"), rate("30/m")), (Ok(500.0), Ok(500.0), Ok(0.5)));
        for bad in ["", "0", "-1/s", "5/x", "NaN", "inf"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counts_are_parsed_as_people_write_them() {
        let to_a_million = count_to::<1_000_000>;
        for (text, number) in
            [("1", 1), ("10000", 10_000), ("10k", 10_000), ("10K", 10_000), ("1.5k", 1_500), ("1M", 1_000_000)]
        {
            assert_eq!(to_a_million(text), Ok(number), "{text}");
        }
        for (text, number) in [("1,000,000", 1_000_000), ("10_000", 10_000), ("1,500.0", 1_500)] {
            assert_eq!(to_a_million(text), Ok(number), "{text}");
        }
        for bad in
            ["", "k", "-1", "+1", "1,5", "1,5000", ",100", "1,,000", "1,000,", "1.5", "10m", "1e3", "inf", "NaN", "ten"]
        {
            assert!(to_a_million(bad).is_err(), "{bad:?}");
        }
        assert_eq!(to_a_million("0").unwrap_err(), "0 is not in 1..=1000000");
        assert_eq!(to_a_million("2M").unwrap_err(), "2M is not in 1..=1000000");
        assert_eq!((rate("5,000/s"), rate("10k")), (Ok(5_000.0), Ok(10_000.0)));
    }

    #[test]
    fn numbers_are_shown_with_three_digits() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 2_000].map(|number| counted(number, "client")), ["0 clients", "1 client", "2,000 clients"]);
        assert_eq!([0.0, 0.1234, 1.234, 12.34, 1_234.5].map(decimal), ["0", "0.123", "1.23", "12.3", "1,235"]);
        assert_eq!([12.0, 1_500.0, 2e6, 3.25e9].map(time), ["12.0 ns", "1.50 us", "2.00 ms", "3.25 s"]);
        assert_eq!([64.0, 4e4, 3e7].map(bytes), ["64.0 bytes", "39.1 KiB", "28.6 MiB"]);
    }
}
