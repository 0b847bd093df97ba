//! The mode and the group of a Unix socket's file, as people write them.

use std::process::{Command, Stdio};

/// Parses permission bits, in octal digits as for `chmod`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    mode.ok_or_else(|| "write octal digits like 660 or 0600, at most 777".to_owned())
}

/// Parses a group: its number or its name.
pub(crate) fn group(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let groups = known_groups(text);
    number_of(text, &groups).ok_or_else(|| "no group of this host has that name (`getent group` lists them)".to_owned())
}

/// Returns lines like those of /etc/group, among them that of this group if it exists. `getent`
/// also knows groups that are not in the file.
fn known_groups(name: &str) -> String {
    let getent = Command::new("getent").args(["group", "--", name]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    match getent {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => std::fs::read_to_string("/etc/group").unwrap_or_default(),
    }
}

/// Finds the number of a group in lines like `name:password:number:members`.
fn number_of(name: &str, groups: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal() {
        assert_eq!(["660", "0660", "0o660", "0", "777"].map(mode), [0o660, 0o660, 0o660, 0, 0o777].map(Ok));
        for text in ["", "0o", "888", "1777", "rw", "-1", "+660", "6 0", "99999999999"] {
            assert!(mode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_group_has_a_number_or_a_name() {
        assert_eq!(group("33"), Ok(33));
        let groups = "root:x:0:\nwww-data:x:33:anna,bob\nbroken\nalso:x\n";
        assert_eq!((number_of("www-data", groups), number_of("root", groups)), (Some(33), Some(0)));
        assert_eq!(["www", "broken", "also", ""].map(|name| number_of(name, groups)), [None; 4]);
        assert!(group("no such group").is_err());
    }
}
