//! The report as a page: text and charts, in one file that needs no other.

use super::text::{Text, asked};
use crate::load::measure::{Report, Second};
use crate::terminal::units::{decimal, time};
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
/// The space for the labels of the axes.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 8.0;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2733; --faint: #8a96a3; --line: #d8dee4; --back: #fff; --a: #0b6bcb; --b: #c2410c; --bad: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --ink: #dbe4ec; --faint: #8494a3; --line: #2d3a46; --back: #12181e; --a: #58a6ff; --b: #fb923c; --bad: #f87171 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 1360px; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1rem; margin: 0 0 .3rem } p { margin: .2rem 0 1rem; color: var(--faint) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 1.2rem 2rem }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif } svg text { fill: var(--faint) } svg line { stroke: var(--line) }
.a { stroke: var(--a) } .b { stroke: var(--b) } polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round }
b.a { color: var(--a) } b.b { color: var(--b) } .limit { border-left: 3px solid var(--bad); padding: .1rem .8rem; margin: .6rem 0 }
pre { overflow-x: auto; font-size: 12.5px; line-height: 1.45; border-top: 1px solid var(--line); padding-top: 1rem }
";

/// The points of one line.
type Points = Vec<(f64, f64)>;

/// A chart.
struct Chart<'a> {
    title: &'a str,
    /// The names and points of at most two lines.
    lines: Vec<(&'a str, Points)>,
    x: fn(f64) -> String,
    y: fn(f64) -> String,
    /// The marks of the x axis; `None` spreads them evenly.
    marks: Option<&'a [f64]>,
}

/// Returns the page.
pub(crate) fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>lariat load</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>lariat load</h1><p>{}</p>\n",
        escaped(&asked(&report.asked))
    );
    for limit in &report.limits {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            page,
            "<div class=\"limit\"><b>Limited by {}</b>: {}; {}</div>",
            limit.limit,
            escaped(&limit.evidence),
            escaped(&limit.advice)
        );
    }
    page += "<div class=\"charts\">\n";
    for chart in charts(report) {
        page += &svg(&chart);
    }
    let _ = write!(page, "</div>\n<pre>{}</pre>\n</body></html>\n", escaped(&Text(report).to_string()));
    page
}

fn charts(report: &Report) -> Vec<Chart<'static>> {
    let series = |value: fn(&Second) -> f64| -> Points {
        let ended = |second: &&Second| second.length_s > 0.05;
        report.series.iter().filter(ended).map(|second| (second.at_s, value(second))).collect()
    };
    let seconds = |x| format!("{x} s");
    let micros = |y| if y > 0.0 { time(y * 1e3) } else { "0".to_owned() };
    let from_zero = |points: Points| [vec![(0.0, 0.0)], points].concat();
    let mut charts = vec![Chart {
        title: "Connections",
        lines: vec![("open", from_zero(series(|second| second.open as f64)))],
        x: seconds,
        y: decimal,
        marks: None,
    }];
    if report.messages.sent + report.messages.received > 0 {
        charts.push(Chart {
            title: "Messages per second",
            lines: vec![
                ("received", series(|second| second.received as f64 / second.length_s)),
                ("sent", series(|second| second.sent as f64 / second.length_s)),
            ],
            x: seconds,
            y: decimal,
            marks: None,
        });
    }
    if !report.curve.is_empty() {
        let measured = |points: Points| points.into_iter().filter(|(_, y)| *y > 0.0).collect();
        charts.push(Chart {
            title: "Latency of each second",
            lines: vec![
                ("p50", measured(series(|second| second.p50_us))),
                ("p99", measured(series(|second| second.p99_us))),
            ],
            x: seconds,
            y: micros,
            marks: None,
        });
        // Each nine takes the same space.
        let nines = |share: f64| -(1.0 - share).max(1e-6).log10();
        charts.push(Chart {
            title: "Latency by percentile",
            lines: vec![("", report.curve.iter().map(|(share, micros)| (nines(*share), *micros)).collect())],
            x: |nines| format!("{}%", (100.0 - 10_f64.powf(2.0 - nines)).clamp(0.0, 99.9999)),
            y: micros,
            marks: Some(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        });
    }
    charts
}

/// Nothing that is measured and not 0 is less, in the unit of a chart.
const LEAST: f64 = 1e-6;

/// Returns a chart, or an empty text if there is nothing to show.
fn svg(chart: &Chart<'_>) -> String {
    let all = || chart.lines.iter().flat_map(|(_, points)| points);
    let (right, top) = all().fold((0.0_f64, 0.0_f64), |(right, top), (x, y)| (right.max(*x), top.max(*y)));
    // Merged reports come from anywhere. Steps between marks must not become 0.
    if right < LEAST || top < LEAST {
        return String::new();
    }
    let step = round_step(top / 4.0);
    let top = (top / step).ceil() * step;
    let place = |x: f64, y: f64| {
        let height = HEIGHT - TOP - BOTTOM;
        (LEFT + x / right * (WIDTH - LEFT - 16.0), TOP + height - y / top * height)
    };
    let mut text = format!("<section><h2>{}", chart.title);
    for ((name, _), class) in chart.lines.iter().zip(["a", "b"]) {
        let _ = write!(text, " <b class=\"{class}\">{name}</b>");
    }
    let _ = write!(text, "</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\">");
    for mark in 0..=(top / step).round() as u32 {
        let value = f64::from(mark) * step;
        let (x, y) = place(0.0, value);
        let _ = write!(
            text,
            "<line x1=\"{x}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x - 6.0,
            y + 4.0,
            (chart.y)(value)
        );
    }
    let step = round_step(right / 6.0);
    let evenly: Vec<f64> = (0..=(right / step) as u32).map(|mark| f64::from(mark) * step).collect();
    for mark in chart.marks.unwrap_or(&evenly).iter().filter(|mark| **mark <= right) {
        let (x, _) = place(*mark, 0.0);
        let _ = write!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 6.0,
            (chart.x)(*mark)
        );
    }
    for ((_, points), class) in chart.lines.iter().zip(["a", "b"]) {
        let _ = write!(text, "<polyline class=\"{class}\" points=\"");
        for (x, y) in points {
            let (x, y) = place(*x, *y);
            let _ = write!(text, "{x:.1},{y:.1} ");
        }
        text += "\"/>";
    }
    text + "</svg></section>\n"
}

/// Returns 1, 2 or 5 times a power of ten, no less than `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!([0.3, 1.0, 3.0, 70.0].map(round_step), [0.5, 1.0, 5.0, 100.0]);
    }

    #[test]
    fn a_page_needs_nothing_else_and_shows_what_somebody_wrote_as_text() {
        let mut report = Report { curve: vec![(0.0, 10.0), (0.99, 40.0), (1.0, 80.0)], ..Report::default() };
        report.asked.urls = vec!["ws://host/<script>".to_owned()];
        report.messages.sent = 2;
        report.series = (1..4)
            .map(|at| Second {
                at_s: f64::from(at),
                length_s: 1.0,
                open: 5,
                received: 7,
                p99_us: 9.0,
                ..Second::default()
            })
            .collect();
        let page = html(&report);
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"));
        assert!(!page.contains("href") && !page.contains("src="));
        assert!(html(&Report::default()).matches("<svg").count() == 0);
        for tiny in [f64::from_bits(1), 1e-300, 9e-7] {
            let mut strange = report.clone();
            (strange.curve, strange.series[2].p99_us) = (Vec::new(), 9.0);
            strange.series.iter_mut().for_each(|second| second.at_s = tiny);
            assert!(html(&strange).matches("<svg").count() == 0, "{tiny}");
            let mut strange = report.clone();
            strange.curve.iter_mut().for_each(|(_, micros)| *micros = tiny);
            strange.series.iter_mut().for_each(|second| second.p99_us = tiny);
            assert!(html(&strange).matches("<svg").count() < 4, "{tiny}");
        }
    }
}
