//! The seconds of a run, one per line, for spreadsheets.

use crate::load::measure::{Report, Second};
use std::fmt::Write;

/// Returns a line with names, and one line for each second.
pub(crate) fn csv(report: &Report) -> String {
    let mut text = String::from("at_s,length_s,open,opened,sent,received,errors,p50_us,p99_us,max_us,client_cpu\n");
    for second in &report.series {
        let Second { at_s, length_s, open, opened, sent, received, errors, p50_us, p99_us, max_us, client_cpu } =
            second;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{at_s},{length_s},{open},{opened},{sent},{received},{errors},{p50_us},{p99_us},{max_us},{client_cpu}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_is_a_line() {
        let second = Second { at_s: 1.0, length_s: 1.0, open: 3, p99_us: 1.5, ..Second::default() };
        let text = csv(&Report { series: vec![second], ..Report::default() });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "1,1,3,0,0,0,0,0,1.5,0,0");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }
}
