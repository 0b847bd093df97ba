//! Where the view stands on the screen.

use super::view::View;
use super::warnings::warnings;
use crate::load::run::PHASES;
use crate::terminal::units::{decimal, grouped, time};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, Paragraph, Wrap};

/// A line of a chart.
struct Curve {
    name: &'static str,
    color: Color,
    points: Vec<(f64, f64)>,
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let rows =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Fill(1), Constraint::Length(7)]);
    let [head, top, middle, bottom] = rows.areas(frame.area());
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]);
    frame.render_widget(Paragraph::new(vec![state(view), numbers(view)]), head);
    let [left, right] = halves.areas(top);
    connections(frame, view, left);
    messages(frame, view, right);
    latency(frame, view, middle);
    let [left, right] = halves.areas(bottom);
    errors(frame, view, left);
    limits(frame, view, right);
}

/// Returns the phase, its time, and what the keys do.
fn state(view: &View) -> Line<'static> {
    let progress = &view.progress;
    let phase = if progress.phase.is_empty() { PHASES[0] } else { &progress.phase };
    let phase = if view.is_ending { "ending" } else { phase };
    Line::from(vec![
        Span::from("lariat load  ").bold(),
        Span::from(phase.to_owned()).reversed(),
        Span::from(format!("  {:.1} s   q: end the run, with its report", progress.at_s)),
    ])
}

fn numbers(view: &View) -> Line<'static> {
    let progress = &view.progress;
    let mut text = format!("{} of {} open", grouped(progress.open), grouped(progress.asked));
    for (count, what) in [(progress.totals.failed, "failed"), (progress.totals.lost, "lost")] {
        if count > 0 {
            text += &format!(", {} {what}", grouped(count));
        }
    }
    if let Some(second) = view.last() {
        let rate = |count: u64| decimal(count as f64 / second.length_s.max(1e-3));
        text += &format!("   sent {}/s, received {}/s", rate(second.sent), rate(second.received));
        if second.max_us > 0.0 {
            let [p50, p99, max] = [second.p50_us, second.p99_us, second.max_us].map(|micros| time(micros * 1e3));
            text += &format!("   p50 {p50}  p99 {p99}  max {max}");
        }
    }
    Line::from(text)
}

fn connections(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let open = Curve { name: "open", color: Color::Cyan, points: view.points(|second| second.open as f64) };
    let asked = view.progress.asked as f64;
    let asked = open.points.iter().map(|(at, _)| (*at, asked)).collect();
    let asked = Curve { name: "asked", color: Color::DarkGray, points: asked };
    chart(frame, area, "Connections", &[asked, open], decimal);
}

fn messages(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let sent = view.points(|second| second.sent as f64 / second.length_s.max(1e-3));
    let received = view.points(|second| second.received as f64 / second.length_s.max(1e-3));
    let curves = [
        Curve { name: "sent", color: Color::DarkGray, points: sent },
        Curve { name: "received", color: Color::Cyan, points: received },
    ];
    chart(frame, area, "Messages per second", &curves, decimal);
}

fn latency(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let curves = [
        Curve { name: "max", color: Color::DarkGray, points: view.points(|second| second.max_us) },
        Curve { name: "p99", color: Color::Yellow, points: view.points(|second| second.p99_us) },
        Curve { name: "p50", color: Color::Cyan, points: view.points(|second| second.p50_us) },
    ];
    chart(frame, area, "Latency of each second", &curves, |micros| time(micros * 1e3));
}

fn chart(frame: &mut Frame<'_>, area: Rect, title: &'static str, curves: &[Curve], label: fn(f64) -> String) {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let (first, last, top) = all()
        .fold((f64::MAX, 0.0_f64, 0.0_f64), |(first, last, top), (x, y)| (first.min(*x), last.max(*x), top.max(*y)));
    let mut names = vec![Span::from(title).bold()];
    names.extend(curves.iter().map(|curve| Span::styled(format!(" {}", curve.name), curve.color)));
    let block = Block::bordered().title(Line::from(names));
    if top <= 0.0 {
        return frame.render_widget(Paragraph::new("nothing yet").block(block), area);
    }
    let datasets = curves.iter().map(|curve| {
        let data = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line);
        data.style(Style::new().fg(curve.color)).data(&curve.points)
    });
    let from = first.min(last - 1.0);
    let x = Axis::default().bounds([from, last]).labels([format!("{first:.0} s"), format!("{last:.0} s")]);
    let y = Axis::default().bounds([0.0, top * 1.05]).labels(["0".to_owned(), label(top)]);
    frame.render_widget(Chart::new(datasets.collect()).x_axis(x).y_axis(y).legend_position(None).block(block), area);
}

fn errors(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let mut counts: Vec<_> = view.progress.errors.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let lines: Vec<Line<'_>> = match counts.is_empty() {
        true => vec![Line::from("none")],
        false => {
            counts.iter().map(|(kind, count)| Line::from(format!("{:>10} {kind}", grouped(**count))).red()).collect()
        }
    };
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("Errors")), area);
}

fn limits(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let near = warnings(view);
    let lines: Vec<Line<'_>> = match near.is_empty() {
        true => vec![Line::from("none is near")],
        false => near.into_iter().map(|text| Line::from(text).yellow()).collect(),
    };
    let text = Paragraph::new(lines).wrap(Wrap { trim: true });
    frame.render_widget(text.block(Block::bordered().title("Limits")), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::Second;
    use crate::load::run::Progress;
    use crate::load::ui::Facts;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
        terminal.draw(|frame| draw(frame, view)).expect("it takes everything");
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(width.into());
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    fn recorded() -> View {
        let mut view = View::new(Facts { asked: 5_000, processes: 1, has_loop: true, files: Some(1_024), ports: None });
        let progress = r#"{"phase":"holding","at_s":12.34,"open":4999,"asked":5000,"per_second":0.0,"p99_us":0.0,
            "errors":{"reset":7,"status-503":1200},
            "totals":{"opened":5000,"failed":3,"lost":1,"sent":0,"received":0,"trips":{"counts":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"sum_s":0.0}}}"#;
        view.progress = serde_json::from_str::<Progress>(progress).expect("as processes send it");
        for at in 1..=12 {
            let second = Second {
                at_s: f64::from(at),
                length_s: 1.0,
                open: 400 * at as u64,
                sent: 900,
                received: 800,
                ..Second::default()
            };
            view.second(&Second { p50_us: 150.0, p99_us: 2_500.0, max_us: 30_000.0, client_cpu: 0.97, ..second });
        }
        view
    }

    #[test]
    fn what_matters_is_on_the_screen() {
        let screen = drawn(&recorded(), 120, 36);
        for words in [
            "holding",
            "12.3 s",
            "q: end the run",
            "4,999 of 5,000 open, 3 failed, 1 lost",
            "sent 900/s, received 800/s",
            "p50 150 us  p99 2.50 ms  max 30.0 ms",
            "Connections asked open",
            "Messages per second sent received",
            "Latency of each second max p99 p50",
            "5,000",
            "30.0 ms",
            "7 reset",
            "1,200 status-503",
            "client CPU: 97 %",
            "descriptors: about 5,015 of 1,024",
        ] {
            assert!(screen.contains(words), "{words:?} is not in\n{screen}");
        }
        assert!(screen.contains(|letter| ('\u{2801}'..='\u{28ff}').contains(&letter)), "a curve:\n{screen}");
        let ending = View { is_ending: true, ..recorded() };
        assert!(drawn(&ending, 120, 36).contains("ending"));
    }

    #[test]
    fn before_the_first_second_there_is_nothing_to_show() {
        let screen = drawn(&View::new(Facts { asked: 100, ..Facts::default() }), 100, 30);
        for words in ["opening", "0 of 100 open", "nothing yet", "Errors", "none", "none is near"] {
            assert!(screen.contains(words), "{words:?} is not in\n{screen}");
        }
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        for (width, height) in [(1, 1), (2, 40), (200, 2), (40, 10), (9, 9), (300, 100)] {
            drawn(&recorded(), width, height);
        }
    }
}
