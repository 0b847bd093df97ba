//! What limited a run.
//!
//! A function from facts to sentences. The most likely cause comes first. Each line of the table in
//! its test is a case.

use crate::load::measure::{ErrorCount, Limit, Report};
use crate::terminal::units::{counted, decimal, grouped, time};

/// A process that uses more of one processor than this is limited by it.
const BUSY: f64 = 0.9;

/// A rate counts as reached from this share on.
const REACHED: f64 = 0.98;

/// TCP sends a lost SYN again after a second.
const RETRANSMISSION_US: f64 = 950_000.0;

/// Returns what limited a run, the most likely cause first. The list is empty if the run reached
/// its plan.
pub(crate) fn limits(report: &Report) -> Vec<Limit> {
    let checks: [fn(&Report) -> Option<Limit>; 19] = [
        process_lost,
        client_descriptors,
        client_ports,
        server_descriptors,
        no_program_listens,
        server_refuses,
        bad_handshake,
        tls,
        no_way,
        server_closes,
        server_silent,
        backlog,
        client_cpu,
        client_late,
        server_cpu,
        no_echo,
        server_stalls,
        cut_short,
        latency,
    ];
    checks.iter().filter_map(|check| check(report)).collect()
}

fn count(report: &Report, kind: &str) -> u64 {
    report.errors.iter().filter(|error| error.kind.starts_with(kind)).map(|error| error.count).sum()
}

fn limit(limit: &'static str, evidence: String, advice: &str) -> Option<Limit> {
    Some(Limit { limit: limit.to_owned(), evidence, advice: advice.to_owned() })
}

fn process_lost(report: &Report) -> Option<Limit> {
    if report.client.processes_lost == 0 {
        return None;
    }
    let advice = "its measurements are missing here; if the kernel killed it for its memory, `dmesg` says so: use fewer connections, or smaller messages";
    limit("load-process-lost", report.ended.clone(), advice)
}

fn client_descriptors(report: &Report) -> Option<Limit> {
    let count = count(report, "no-descriptors");
    if count == 0 {
        return None;
    }
    let open = counted(report.connections.most, "connection");
    let evidence = format!("this client had {open} open and could not open more files");
    limit("client-descriptors", evidence, "raise its limit (see lariat doctor), or share the work: --processes 2")
}

fn client_ports(report: &Report) -> Option<Limit> {
    let count = count(report, "no-ports");
    if count == 0 {
        return None;
    }
    let evidence = format!("{} found no free port on this host", counted(count, "connection"));
    limit("client-ports", evidence, "connect from several addresses, --source-ip A,B, or to several URLs")
}

fn server_descriptors(report: &Report) -> Option<Limit> {
    let server = report.server.as_ref()?;
    let (limit_of_files, open) = (server.files_limit?, server.files_open?);
    let fell_short = report.connections.most < report.asked.connections;
    if !fell_short || open + 2 < limit_of_files {
        return None;
    }
    let evidence =
        format!("the server ({}) had {} of {} files open", server.name, grouped(open), grouped(limit_of_files));
    limit(
        "server-descriptors",
        evidence,
        "start it with a higher limit: ulimit -Sn 1048576, or LimitNOFILE= in its unit",
    )
}

fn no_program_listens(report: &Report) -> Option<Limit> {
    let refused = count(report, "connect-refused");
    if refused == 0 {
        return None;
    }
    let errors = report.errors.iter().filter(|error| error.kind == "connect-refused");
    let nobody: Vec<String> = errors.flat_map(|error| &error.details).map(|detail| detail.text.clone()).collect();
    let where_to = if nobody.is_empty() { "nobody listens there".to_owned() } else { nobody.join(", ") };
    let evidence = format!("{where_to}: {} refused", counted(refused, "connection"));
    let advice = match (report.connections.opened, report.asked.urls.len()) {
        (0, _) => "start the server, or check the port (`ss -ltn` lists listening ports)",
        (_, 0 | 1) => "the server stopped listening during the run: check its log",
        _ => "start the server there, or check the port; if it did listen, check its log",
    };
    limit("refused", evidence, advice)
}

fn server_refuses(report: &Report) -> Option<Limit> {
    let answered = report.errors.iter().find(|error| error.kind.starts_with("status-"))?;
    let evidence = format!("{}: {}", counted(answered.count, "upgrade"), answered.sentence());
    let advice = match answered.kind.as_str() {
        "status-503" | "status-429" => {
            "the server has its own limit: raise it, or use fewer connections or a lower rate"
        }
        "status-401" | "status-403" => {
            "the server needs credentials or an origin: --header \"Authorization: ...\", or --origin"
        }
        "status-404" => "the server has nothing at this path: check the URL",
        _ => "the status shows the reason; curl -i shows the whole response",
    };
    limit("server-refuses", evidence, advice)
}

fn bad_handshake(report: &Report) -> Option<Limit> {
    let count = count(report, "bad-handshake");
    let worst = report.errors.iter().filter(|error| error.kind == "bad-handshake").max_by_key(|error| error.count)?;
    let evidence = format!("{}: {}", counted(count, "upgrade"), worst.sentence());
    limit("bad-handshake", evidence, "check the URL and its port: this may be no WebSocket server, or one with TLS")
}

/// TLS sessions that failed.
fn tls(report: &Report) -> Option<Limit> {
    let worst = report.errors.iter().filter(|error| error.kind.starts_with("tls-")).max_by_key(|error| error.count)?;
    let advice = match worst.kind.as_str() {
        "tls-certificate" => {
            "trust its CA with --ca FILE, use the name of its certificate, or accept any with --insecure"
        }
        "tls-alert" => alert(worst),
        "tls-not-tls" => "this port may speak without TLS: use ws://",
        _ => "see what the server's log says",
    };
    limit("tls", format!("{}: {}", counted(worst.count, "connection"), worst.sentence()), advice)
}

/// What to do about an alert of the server. The first three are about a certificate of ours.
fn alert(error: &ErrorCount) -> &'static str {
    let says = |alert: &str| error.details.iter().any(|detail| detail.text.contains(alert));
    if says("UnknownCA") {
        "the server does not trust the authority of the certificate of --cert: show one that its own authority signs"
    } else if says("CertificateExpired") {
        "the certificate of --cert has expired: show another one"
    } else if says("BadCertificate") || says("CertificateUnknown") {
        "the server does not accept the certificate of --cert: see what its log says"
    } else if says("CertificateRequired") || says("HandshakeFailure") {
        "the server may want a certificate: --cert and --key"
    } else {
        "see what the server's log says"
    }
}

/// Connections that failed below the handshake, for a reason without a limit of its own.
fn no_way(report: &Report) -> Option<Limit> {
    let named = ["connect-refused", "connect-timeout"];
    let failed = report.errors.iter().filter(|error| {
        let kind = error.kind.as_str();
        matches!(kind, "name-not-found" | "unreachable") || kind.starts_with("connect-") && !named.contains(&kind)
    });
    let worst = failed.max_by_key(|error| error.count)?;
    let evidence = format!("{} failed: {}", counted(worst.count, "connection"), worst.sentence());
    limit("cannot-connect", evidence, "check the host's name, its address, and the routes and firewalls on the way")
}

/// A run that ended before it had opened what was planned, or that a signal ended.
fn cut_short(report: &Report) -> Option<Limit> {
    let connections = &report.connections;
    let (opened, asked) = (connections.most, report.asked.connections);
    let evidence = format!("{}: {} of {} open", report.ended, grouped(opened), counted(asked, "connection"));
    match report.ended.as_str() {
        "interrupted by a signal" => limit("interrupted", evidence, "let the run end by itself"),
        "cut short by --duration" if opened < asked => limit("duration", evidence, "raise --duration"),
        _ => None,
    }
}

fn server_closes(report: &Report) -> Option<Limit> {
    let lost = report.connections.lost;
    if lost == 0 {
        return None;
    }
    let kinds = ["closed-", "hung-up", "reset", "broken-", "protocol-", "silent"];
    let of_lost = |error: &&ErrorCount| kinds.iter().any(|kind| error.kind.starts_with(kind));
    let worst = report.errors.iter().filter(of_lost).max_by_key(|error| error.count)?;
    let evidence = format!("{} lost; most often, {}", counted(lost, "connection"), worst.sentence());
    limit("server-closes", evidence, "check the log of the server")
}

fn server_silent(report: &Report) -> Option<Limit> {
    let (silent, broken) = (count(report, "handshake-timeout"), count(report, "handshake-broken"));
    if silent + broken == 0 {
        return None;
    }
    let evidence =
        format!("{} reached the server, but it did not answer the upgrade", counted(silent + broken, "connection"));
    let advice = "it has no descriptor left, or it does not accept: the kernel completes connections that the server has not accepted";
    limit("server-does-not-accept", evidence, advice)
}

fn backlog(report: &Report) -> Option<Limit> {
    let (timeouts, slowest) = (count(report, "connect-timeout"), report.latency.connect.max_us);
    if timeouts == 0 && slowest < RETRANSMISSION_US {
        return None;
    }
    let evidence = match timeouts {
        0 => format!("connecting took up to {}: SYN packets were dropped and sent again", time(slowest * 1e3)),
        count => format!("the kernel of the server did not complete {} in time", counted(count, "connection")),
    };
    let advice = "the queue of connections that wait to be accepted was full: begin fewer at once (--rate, --at-once), or raise the backlog of the server and net.core.somaxconn";
    limit("server-backlog", evidence, advice)
}

/// Returns the largest share that is known, or else 0.
fn busiest(shares: [Option<f64>; 2]) -> f64 {
    shares.into_iter().flatten().fold(0.0, f64::max)
}

fn client_cpu(report: &Report) -> Option<Limit> {
    let processes = f64::from(report.asked.processes.max(1)) * report.asked.agents.len().max(1) as f64;
    let share = busiest([report.client.cpu_share_opening, report.client.cpu_share_holding]) / processes;
    if share < BUSY {
        return None;
    }
    let evidence = format!(
        "this client used {:.0} % of a processor: the results may show its speed, not that of the server",
        share * 100.0
    );
    limit("client-cpu", evidence, "share the work: --processes 2; or use fewer connections or messages")
}

fn client_late(report: &Report) -> Option<Limit> {
    let delay = report.latency.send_delay.as_ref()?;
    let measured = report.latency.round_trip.as_ref().or(report.latency.last_receiver.as_ref())?;
    if delay.p99_us < 1_000.0 || delay.p99_us * 4.0 < measured.p99_us {
        return None;
    }
    let evidence = format!(
        "this client sent up to {} late (p99); the reported latencies include this delay",
        time(delay.p99_us * 1e3)
    );
    limit(
        "client-late",
        evidence,
        "the host is too busy: end other programs, use --processes, or run the client on another host (--agents)",
    )
}

fn server_cpu(report: &Report) -> Option<Limit> {
    let server = report.server.as_ref()?;
    let share = busiest([server.cpu_share_opening, server.cpu_share_holding]);
    if share < BUSY {
        return None;
    }
    let evidence = format!("the server ({}) used {:.0} % of a processor", server.name, share * 100.0);
    limit("server-cpu", evidence, "this is the most that a server with one thread can do")
}

/// A server of another kind: what was sent did not come back, not even once.
fn no_echo(report: &Report) -> Option<Limit> {
    let messages = &report.messages;
    // Of an interrupted run, what had not come back is no error.
    let missing = count(report, "unanswered") + count(report, "wrong-message");
    if messages.right > 0 || missing == 0 || report.connections.lost > 0 {
        return None;
    }
    let (what, advice) = match report.asked.mode.as_str() {
        "echo" => ("this is not an echo server", "use a path that echoes, or --messages-per-second without --echo"),
        "subscribe" => (
            "this server does not pass the messages of one client on to all others",
            "use a path that does, or --messages-per-second without --subscribe",
        ),
        _ => return None,
    };
    let (sent, received) = (counted(messages.sent, "message"), grouped(messages.received));
    limit("no-echo", format!("{what}: {sent} sent, {received} received, none as it was sent"), advice)
}

fn server_stalls(report: &Report) -> Option<Limit> {
    if no_echo(report).is_some() {
        return None;
    }
    let (stalled, unanswered) = (count(report, "stalled"), report.messages.unanswered);
    if stalled == 0 && unanswered == 0 {
        return None;
    }
    let evidence = format!(
        "messages that were not answered: {}; that could not be sent because the server did not read: {}",
        grouped(unanswered),
        grouped(stalled)
    );
    limit("server-stalls", evidence, "the server does not answer, or answers more slowly than messages arrive")
}

fn latency(report: &Report) -> Option<Limit> {
    let asked = report.asked.messages_per_second?;
    let reached = report.messages.per_second;
    let counted = match report.asked.mode.as_str() {
        // Each publication is delivered to all other connections.
        "subscribe" => asked * report.connections.most.saturating_sub(1) as f64,
        _ => asked,
    };
    if reached >= counted * REACHED || report.messages.sending_s == 0.0 {
        return None;
    }
    let evidence = format!("{} messages per second were planned, {} were reached", decimal(counted), decimal(reached));
    limit("rate-not-reached", evidence, "find a rate that the server can keep: --until p99<50ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::{Server, Summary};

    fn with_error(kind: &str, opened: u64) -> Report {
        let error =
            ErrorCount { kind: kind.to_owned(), count: 7, explanation: "because".to_owned(), details: Vec::new() };
        let mut report = Report { errors: vec![error], ..Report::default() };
        (report.asked.connections, report.connections.opened, report.connections.most) = (100, opened, opened);
        report
    }

    fn names(report: &Report) -> Vec<String> {
        limits(report).into_iter().map(|limit| limit.limit).collect()
    }

    #[test]
    fn each_error_names_a_limit() {
        for (kind, opened, limit, advice) in [
            ("no-descriptors", 50, "client-descriptors", "--processes"),
            ("no-ports", 50, "client-ports", "--source-ip"),
            ("connect-refused", 0, "refused", "start the server"),
            ("connect-refused", 50, "refused", "stopped listening"),
            ("status-503", 50, "server-refuses", "its own limit"),
            ("status-404", 0, "server-refuses", "check the URL"),
            ("bad-handshake", 0, "bad-handshake", "check the URL"),
            ("tls-certificate", 0, "tls", "--ca FILE"),
            ("tls-not-tls", 0, "tls", "use ws://"),
            ("name-not-found", 0, "cannot-connect", "name"),
            ("unreachable", 0, "cannot-connect", "routes"),
            ("connect-permission-denied", 0, "cannot-connect", "firewalls"),
            ("handshake-timeout", 50, "server-does-not-accept", "descriptor"),
            ("connect-timeout", 50, "server-backlog", "somaxconn"),
            ("stalled", 100, "server-stalls", "answer"),
        ] {
            let found = limits(&with_error(kind, opened));
            assert_eq!(found.len(), 1, "{kind}: {found:?}");
            assert_eq!(found[0].limit, limit);
            assert!(found[0].advice.contains(advice), "{kind}: {}", found[0].advice);
        }
        assert!(names(&Report::default()).is_empty());
    }

    #[test]
    fn the_advice_about_an_alert_depends_on_the_alert() {
        for (alert, advice) in [
            ("UnknownCA: it does not trust the authority of our certificate", "its own authority"),
            ("CertificateExpired", "expired"),
            ("CertificateRequired: it wants a certificate of ours", "--cert and --key"),
            ("InternalError", "log"),
        ] {
            let mut report = with_error("tls-alert", 0);
            report.errors[0].detail(7, format!("the peer sent the alert {alert}"));
            let found = limits(&report);
            assert!(found[0].advice.contains(advice), "{alert}: {}", found[0].advice);
        }
    }

    #[test]
    fn a_server_without_descriptors_is_named_first() {
        let mut report = with_error("handshake-timeout", 50);
        report.server = Some(Server { files_limit: Some(64), files_open: Some(64), ..Server::default() });
        assert_eq!(names(&report), ["server-descriptors", "server-does-not-accept"]);
        report.connections.most = 100;
        assert_eq!(names(&report), ["server-does-not-accept"]);
    }

    #[test]
    fn a_busy_process_is_named() {
        let mut report = Report::default();
        report.asked.processes = 2;
        report.client.cpu_share_holding = Some(1.7);
        assert!(names(&report).is_empty());
        report.client.cpu_share_holding = Some(1.9);
        report.server = Some(Server { cpu_share_holding: Some(0.95), ..Server::default() });
        assert_eq!(names(&report), ["client-cpu", "server-cpu"]);
    }

    #[test]
    fn late_sending_counts_if_it_is_a_large_part_of_the_latency() {
        let mut report = Report::default();
        let summary = |p99_us| Some(Summary { p99_us, ..Summary::default() });
        (report.latency.send_delay, report.latency.round_trip) = (summary(5_000.0), summary(8_000.0));
        assert_eq!(names(&report), ["client-late"]);
        report.latency.round_trip = summary(80_000.0);
        assert!(names(&report).is_empty());
        report.latency.connect.max_us = 1_020_000.0;
        assert_eq!(names(&report), ["server-backlog"]);
    }

    #[test]
    fn a_rate_that_was_not_reached_is_named() {
        let mut report = Report::default();
        report.asked.messages_per_second = Some(100.0);
        (report.messages.per_second, report.messages.sending_s) = (97.0, 5.0);
        assert_eq!(names(&report), ["rate-not-reached"]);
        report.messages.per_second = 98.5;
        assert!(names(&report).is_empty());
        (report.asked.mode, report.connections.most) = ("subscribe".to_owned(), 3);
        assert_eq!(names(&report), ["rate-not-reached"]);
        report.messages.per_second = 199.0;
        assert!(names(&report).is_empty());
    }
}
