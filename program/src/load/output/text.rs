//! The report as text.

use crate::load::measure::{Asked, Compression, Malformed, Report, Step, Storm, Summary};
use crate::terminal::units::{bytes, counted, decimal, grouped, time};
use std::fmt::{self, Display, Formatter};

/// Formats a report as text.
pub(crate) struct Text<'a>(pub(crate) &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(f, "plan         {}", asked(&report.asked))?;
        writeln!(f, "ended        {} after {}", report.ended, time(report.elapsed_s * 1e9))?;
        connections(f, report)?;
        messages(f, report)?;
        latencies(f, report)?;
        scenario(f, report)?;
        storms(f, report)?;
        search(f, report)?;
        used(f, report)?;
        malformed(f, report)?;
        errors(f, report)?;
        limits(f, report)?;
        for expected in &report.expectations {
            let verdict = if expected.holds { "holds" } else { "DOES NOT HOLD" };
            writeln!(f, "expected     {}: {verdict}, measured {}", expected.expectation, expected.measured)?;
        }
        Ok(())
    }
}

/// Returns what the options asked for, in one sentence.
pub(crate) fn asked(asked: &Asked) -> String {
    let mut text = format!("{} to {}", counted(asked.connections, "connection"), asked.urls.join(", "));
    if let Some(rate) = asked.rate {
        text += &format!(", {} begun per second", decimal(rate));
    }
    if asked.hold_s > 0.0 || asked.mode != "scenario" {
        text += &format!(", held for {}", time(asked.hold_s * 1e9));
    }
    if let Some(churn) = &asked.churn {
        text += &format!(", churning at {churn}");
    }
    if asked.mode == "follow" {
        text += "; following positions";
    } else if asked.mode == "scenario" {
        text += "; through a scenario";
    } else if asked.mode != "hold" {
        let kind = if asked.binary { "binary" } else { "text" };
        text += &format!("; {}, {kind} of {}", asked.mode, bytes(asked.message_bytes as f64));
        if asked.deflate {
            text += ", compression offered";
        }
    }
    match (&asked.until, asked.messages_per_second, asked.depth) {
        (Some(bound), _, _) => text += &format!(", at the highest rate with {bound}"),
        (None, Some(rate), _) => text += &format!(", {}/s", decimal(rate)),
        (None, None, Some(depth)) => text += &format!(", {depth} at a time"),
        (None, None, None) => {}
    }
    match (asked.agents.len() as u64, asked.processes) {
        (0, 0 | 1) => {}
        (0, processes) => text += &format!("; by {processes} processes"),
        (agents, 0 | 1) => text += &format!("; by {}", counted(agents, "agent")),
        (agents, processes) => text += &format!("; by {} with {processes} processes each", counted(agents, "agent")),
    }
    text
}

fn connections(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let connections = &report.connections;
    write!(f, "connections  {} open at the same time", grouped(connections.most))?;
    for (count, what) in [
        (connections.failed, "failed"),
        (connections.lost, "lost while held"),
        (connections.churned + connections.reconnected, "opened again"),
    ] {
        if count > 0 {
            write!(f, ", {} {what}", grouped(count))?;
        }
    }
    writeln!(f, "; opened in {}, {}/s", time(connections.opening_s * 1e9), decimal(connections.opened_per_second))
}

fn messages(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let messages = &report.messages;
    if report.asked.mode == "hold" {
        if messages.received > 0 {
            writeln!(f, "messages     {} received, none sent", grouped(messages.received))?;
        }
        return Ok(());
    }
    if report.asked.mode == "follow" {
        write!(f, "messages     {} received", grouped(messages.received))?;
        for (count, what) in
            [(messages.missed, "missed"), (messages.doubled, "doubled"), (messages.out_of_order, "out of order")]
        {
            write!(f, ", {} {what}", grouped(count))?;
        }
        return writeln!(f, "; {}/s for {}", decimal(messages.per_second), time(messages.sending_s * 1e9));
    }
    write!(f, "messages     {} sent, {} received", grouped(messages.sent), grouped(messages.received))?;
    if let Some(walks) = &report.walks {
        writeln!(
            f,
            ", {} expected; {}/s for {}",
            grouped(messages.right),
            decimal(messages.per_second),
            time(messages.sending_s * 1e9)
        )?;
        write!(f, "scenario     {} got through", counted(walks.finished, "connection"))?;
        for (count, what) in [(walks.failed, "failed"), (walks.unfinished, "were under way at the end")] {
            if count > 0 {
                write!(f, ", {} {what}", grouped(count))?;
            }
        }
        return writeln!(f);
    }
    match report.asked.mode.as_str() {
        "echo" => write!(f, ", {} came back unchanged", grouped(messages.right))?,
        "subscribe" => {
            write!(
                f,
                "; {} of {} reached all subscribers",
                grouped(messages.complete),
                counted(messages.published, "publication")
            )?;
        }
        _ => {}
    }
    for (count, what) in
        [(messages.wrong, "wrong"), (messages.unanswered, "not received"), (messages.unexpected, "unexpected")]
    {
        if count > 0 {
            write!(f, ", {} {what}", grouped(count))?;
        }
    }
    writeln!(f, "; {}/s for {}", decimal(messages.per_second), time(messages.sending_s * 1e9))
}

fn latencies(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let latency = &report.latency;
    let trip = if report.asked.mode == "subscribe" { "each receiver" } else { "round trip" };
    let rows = [
        ("connect", Some(&latency.connect)),
        ("TLS", latency.tls.as_ref()),
        ("handshake", Some(&latency.handshake)),
        (trip, latency.round_trip.as_ref()),
        ("last receiver", latency.last_receiver.as_ref()),
        ("sent late by", latency.send_delay.as_ref()),
    ];
    writeln!(f, "\n{:14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}", "latency", "mean", "p50", "p90", "p99", "p99.9", "max")?;
    for (name, summary) in rows {
        let Some(summary) = summary.filter(|summary| summary.count > 0) else { continue };
        let Summary { mean_us, p50_us, p90_us, p99_us, p99_9_us, max_us, .. } = summary;
        write!(f, "{name:14}")?;
        for micros in [mean_us, p50_us, p90_us, p99_us, p99_9_us, max_us] {
            write!(f, "{:>10}", time(micros * 1e3))?;
        }
        writeln!(f)?;
    }
    writeln!(f)
}

/// Writes the steps of a scenario. Those that say nothing of the server have no times.
fn scenario(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    if report.steps.is_empty() {
        return Ok(());
    }
    writeln!(f, "{:>4}{:>10}{:>9}{:>10}{:>10}{:>10}  step", "line", "done", "failed", "p50", "p99", "max")?;
    for step in &report.steps {
        write!(f, "{:>4}{:>10}{:>9}", step.line, grouped(step.done), grouped(step.failed))?;
        for micros in step.latency.as_ref().map_or([None; 3], |l| [l.p50_us, l.p99_us, l.max_us].map(Some)) {
            write!(f, "{:>10}", micros.map_or_else(|| "-".to_owned(), |micros| time(micros * 1e3)))?;
        }
        let mut text: String = step.text.chars().take(60).collect();
        if text.len() < step.text.len() {
            text += " ..";
        }
        writeln!(f, "  {text}")?;
        for failure in &step.failures {
            writeln!(f, "{:>4}{:>10}{:>9}  {}", "", "", grouped(failure.count), failure.text)?;
        }
        if let Some(first) = step.first_failed {
            writeln!(f, "{:>4}{:>10}{:>9}  the first was connection {first}", "", "", "")?;
        }
    }
    writeln!(f)
}

fn storms(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    for storm in &report.storms {
        let Storm { at_s, kind, cut, back, failed, messages_lost, all_back_s, handshake, .. } = storm;
        write!(f, "storm        {} cut by {kind} at {}, ", counted(*cut, "connection"), time(at_s * 1e9))?;
        match all_back_s {
            Some(seconds) => write!(f, "all back after {}", time(seconds * 1e9))?,
            None => write!(f, "{} of them back", grouped(*back))?,
        }
        write!(f, ", {} failed, {} lost", counted(*failed, "attempt"), counted(*messages_lost, "message"))?;
        let (p50, p99, max) =
            (time(handshake.p50_us * 1e3), time(handshake.p99_us * 1e3), time(handshake.max_us * 1e3));
        writeln!(f, "; to open again took p50 {p50}, p99 {p99}, max {max}")?;
    }
    if let Some(Compression { sent_payload, sent_wire, received_payload, received_wire }) = &report.compression {
        let ratio = |payload: u64, wire: u64| match (payload, wire) {
            (0, _) | (_, 0) => "-".to_owned(),
            (payload, wire) => format!("{:.2}", payload as f64 / wire as f64),
        };
        let (sent, received) = (ratio(*sent_payload, *sent_wire), ratio(*received_payload, *received_wire));
        writeln!(f, "compression  payload divided by bytes on the wire: sent {sent}, received {received}")?;
    }
    Ok(())
}

fn search(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let Some(search) = &report.search else { return Ok(()) };
    for Step { rate, reached, latency_us, holds } in &search.steps {
        let verdict = if *holds { "holds" } else { "does not hold" };
        writeln!(
            f,
            "  {:>10}/s planned, {:>10}/s reached, {:>10}  {verdict}",
            decimal(*rate),
            decimal(*reached),
            time(latency_us * 1e3)
        )?;
    }
    match search.highest {
        Some(rate) => writeln!(f, "highest      {} messages per second with {}\n", decimal(rate), search.bound),
        None => writeln!(f, "highest      no rate with {}\n", search.bound),
    }
}

fn used(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let client = &report.client;
    let mut rows = vec![(
        "client".to_owned(),
        client.cpu_share_holding,
        client.cpu_ns_per_handshake,
        client.cpu_ns_per_message,
        client.memory_bytes_per_connection,
    )];
    if let Some(server) = &report.server {
        rows.push((
            format!(
                "server {} ({})",
                server.name,
                server.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
            ),
            server.cpu_share_holding,
            server.cpu_ns_per_handshake,
            server.cpu_ns_per_message,
            server.memory_bytes_per_connection,
        ));
    }
    writeln!(
        f,
        "{:24}{:>16}{:>16}{:>16}{:>18}",
        "used", "CPU, holding", "per handshake", "per message", "per connection"
    )?;
    for (name, share, handshake, message, memory) in rows {
        let cpu = |nanos: Option<f64>| nanos.map_or_else(|| "-".to_owned(), time);
        let memory = memory.map_or_else(|| "-".to_owned(), bytes);
        let share = share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        writeln!(f, "{name:24}{share:>16}{:>16}{:>16}{memory:>18}", cpu(handshake), cpu(message))?;
    }
    writeln!(f)
}

fn malformed(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    if report.malformed.is_empty() {
        return Ok(());
    }
    writeln!(f, "{:24}{:>8}{:>8}  otherwise", "hostile clients", "tried", "right")?;
    for Malformed { name, what, tried, expected, outcomes, right } in &report.malformed {
        write!(f, "  {name:22}{:>8}{:>8}", grouped(*tried), grouped(*right))?;
        // Without these, all was as it should be.
        if right < tried || *tried == 0 && !outcomes.is_empty() {
            let did: Vec<String> =
                outcomes.iter().map(|detail| format!("{} ({})", detail.text, grouped(detail.count))).collect();
            write!(f, "  {}; {what} should get: {expected}", did.join(", "))?;
        }
        writeln!(f)?;
    }
    writeln!(f)
}

fn errors(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    if report.errors.is_empty() {
        return writeln!(f, "errors       none");
    }
    for error in &report.errors {
        writeln!(f, "errors       {} {}: {}", grouped(error.count), error.kind, error.sentence())?;
    }
    Ok(())
}

fn limits(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    if report.limits.is_empty() {
        let is_closed_loop = report.asked.depth.is_some() || report.asked.churn.as_deref() == Some("max");
        let connections = &report.connections;
        let sentence = if connections.opened == 0
            || connections.failed > 0
            || report.ended != "complete"
            || report.walks.as_ref().is_some_and(|walks| !walks.is_good())
        {
            "not known: the plan was not reached"
        } else if is_closed_loop {
            "the round trip: each message or connection waited for the one before it"
        } else {
            "nothing: the plan was reached"
        };
        return writeln!(f, "limited by   {sentence}");
    }
    for limit in &report.limits {
        writeln!(f, "limited by   {}: {}\n             -> {}", limit.limit, limit.evidence, limit.advice)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_is_not_several() {
        let mut one = Asked { connections: 1, ..Asked::default() };
        one.urls = vec!["ws://host/".to_owned()];
        assert!(asked(&one).starts_with("1 connection to ws://host/,"), "{}", asked(&one));
        one.connections = 2_000;
        assert!(asked(&one).starts_with("2,000 connections to"), "{}", asked(&one));
        one.agents = vec!["10.0.0.5:7000".to_owned(); 2];
        assert!(asked(&one).ends_with("; by 2 agents"), "{}", asked(&one));
        one.processes = 3;
        assert!(asked(&one).ends_with("; by 2 agents with 3 processes each"), "{}", asked(&one));
        one.agents.clear();
        assert!(asked(&one).ends_with("; by 3 processes"), "{}", asked(&one));
    }
}
