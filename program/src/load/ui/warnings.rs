//! Limits that a run comes near, as far as they are known while it goes on. The report says more.

use super::view::View;
use crate::terminal::units::grouped;

/// From this share of a limit on, it is near.
const NEAR: f64 = 0.9;

/// The files that a process has open besides its connections.
const OTHER_FILES: u64 = 16;

/// Returns the limits that are near or reached, as sentences.
pub(super) fn warnings(view: &View) -> Vec<String> {
    let checks: [fn(&View) -> Option<String>; 4] = [client_cpu, server_cpu, descriptors, ports];
    checks.iter().filter_map(|check| check(view)).collect()
}

fn client_cpu(view: &View) -> Option<String> {
    let share = view.last()?.client_cpu / view.facts.processes.max(1) as f64;
    let percent = share * 100.0;
    (share >= NEAR).then(|| format!("client CPU: {percent:.0} % of a processor; share the work: --processes"))
}

fn server_cpu(view: &View) -> Option<String> {
    let share = view.server_cpu.filter(|share| *share >= NEAR)?;
    Some(format!("server CPU: {:.0} % of a processor", share * 100.0))
}

fn descriptors(view: &View) -> Option<String> {
    let limit = view.facts.files?;
    let used = view.progress.open.div_ceil(view.facts.processes.max(1)) + OTHER_FILES;
    let text = || format!("descriptors: about {} of {} in a process; see lariat doctor", grouped(used), grouped(limit));
    is_near(used, limit).then(text)
}

fn ports(view: &View) -> Option<String> {
    let (used, limit) = (view.progress.open, view.facts.ports?);
    let text = || format!("ports: {} of {} are taken; use --source-ip A,B", grouped(used), grouped(limit));
    is_near(used, limit).then(text)
}

fn is_near(used: u64, limit: u64) -> bool {
    used as f64 >= limit as f64 * NEAR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::Second;
    use crate::load::ui::Facts;

    fn view(open: u64, client_cpu: f64) -> View {
        let facts = Facts { asked: 10_000, processes: 2, has_loop: false, files: Some(1_024), ports: Some(2_000) };
        let mut view = View::new(facts);
        view.progress.open = open;
        view.second(&Second { client_cpu, ..Second::default() });
        view
    }

    #[test]
    fn limits_are_shown_once_they_are_near() {
        assert_eq!(warnings(&View::default()), Vec::<String>::new());
        assert_eq!(warnings(&view(1_700, 1.7)), Vec::<String>::new());
        let all = warnings(&View { server_cpu: Some(0.99), ..view(1_900, 1.9) });
        let begin =
            ["client CPU: 95 %", "server CPU: 99 %", "descriptors: about 966 of 1,024", "ports: 1,900 of 2,000"];
        assert!(all.len() == 4 && all.iter().zip(begin).all(|(text, begin)| text.starts_with(begin)), "{all:?}");
    }
}
