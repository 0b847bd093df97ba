//! The comparison as text.

use super::values::Unit;
use super::verdict::{Change, Comparison, Measured, Row, Verdict};
use crate::terminal::units::{bytes, decimal, time};
use std::fmt::{self, Display, Formatter};

/// The most characters of the name of a metric.
const NAME: usize = 40;

/// Formats a comparison as text.
pub(super) struct Table<'a>(pub(super) &'a Comparison);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let comparison = self.0;
        writeln!(f, "old          {}", comparison.old.join(", "))?;
        writeln!(f, "new          {}", comparison.new.join(", "))?;
        for note in &comparison.notes {
            writeln!(f, "note         {note}")?;
        }
        writeln!(f)?;
        let head = ["metric", "old [95 %]", "new [95 %]", "change [95 %]", "verdict"].map(str::to_owned);
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(comparison.metrics.iter().map(cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 2).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        for [name, old, new, change, verdict] in &rows {
            let [a, b, c, d] = widths;
            writeln!(f, "{name:a$}{old:b$}{new:c$}{change:d$}{verdict}")?;
        }
        let tolerance = comparison.tolerance_percent;
        match comparison.verdict {
            Verdict::Unknown => {
                writeln!(f, "\nverdict      not comparable: longer runs, or several on each side, can tell")
            }
            verdict => {
                let (all, text) = (comparison.metrics.len(), verdict.text());
                write!(f, "\nverdict      {text}, with a tolerance of {tolerance} %")?;
                match comparison.metrics.iter().filter(|row| row.verdict == Verdict::Unknown).count() {
                    0 => writeln!(f),
                    unknown => writeln!(f, "; {unknown} of {all} metrics not comparable"),
                }
            }
        }
    }
}

fn name(row: &Row) -> String {
    if row.metric.chars().count() <= NAME {
        return row.metric.clone();
    }
    // What follows the text of a step is the percentile.
    let (text, percentile) = row.metric.rsplit_once(' ').unwrap_or((&row.metric, ""));
    format!("{}... {percentile}", text.chars().take(NAME - 10).collect::<String>())
}

fn cells(row: &Row) -> [String; 5] {
    let [old, new] = [row.old, row.new].map(|side| side.map_or_else(|| "-".to_owned(), |side| value(row.kind, side)));
    let change = row.change.map_or_else(|| "-".to_owned(), change);
    let why = row.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    [name(row), old, new, change, format!("{}{why}", row.verdict.text())]
}

fn value(unit: Unit, measured: Measured) -> String {
    let show = |value: f64| match unit {
        Unit::Nanoseconds => time(value),
        Unit::PerSecond => format!("{}/s", decimal(value)),
        Unit::Bytes => bytes(value),
        Unit::Share => format!("{} %", decimal(value * 100.0)),
    };
    match measured.low.zip(measured.high) {
        Some((low, high)) => format!("{} [{}, {}]", show(measured.value), show(low), show(high)),
        None => show(measured.value),
    }
}

fn change(change: Change) -> String {
    let signed = |percent: f64| if percent.abs() < 100.0 { format!("{percent:+.1}") } else { format!("{percent:+.0}") };
    let Some(percent) = change.percent else { return "-".to_owned() };
    match change.low_percent.zip(change.high_percent) {
        Some((low, high)) => format!("{} % [{}, {}]", signed(percent), signed(low), signed(high)),
        None => format!("{} %", signed(percent)),
    }
}
