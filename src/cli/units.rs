//! Sizes as people write them: `65536`, `64KiB`, `1MiB`.

use std::fmt;

/// Reads a size in bytes.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1_usize,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        unit => return Err(format!("unknown unit {unit:?}; write 65536, 64KiB or 1MiB")),
    };
    let number: usize = digits.parse().map_err(|_| "write a size like 65536, 64KiB or 1MiB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "that is too large".to_owned())
}

/// Bytes, as people read them.
pub(super) struct Size(pub(super) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(power, _)| self.0 >= 1 << power) {
            Some((power, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1_usize << power) as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("65536"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!([Size(7), Size(1_536), Size(64 << 20)].map(|size| size.to_string()), ["7 B", "1.5 KiB", "64.0 MiB"]);
        assert!(size("1MB").is_err() && size("").is_err() && size("-1").is_err() && size("99999999999GiB").is_err());
    }
}
