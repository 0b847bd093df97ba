//! The report as text.

use crate::load::measure::{Asked, Malformed, Report, Step, Summary};
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
    text += &format!(", held for {}", time(asked.hold_s * 1e9));
    if let Some(churn) = &asked.churn {
        text += &format!(", churning at {churn}");
    }
    if asked.mode == "follow" {
        text += "; following positions";
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
    if asked.processes > 1 {
        text += &format!("; by {} processes", asked.processes);
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
        let sentence = if connections.opened == 0 || connections.failed > 0 || report.ended != "complete" {
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
    }
}
