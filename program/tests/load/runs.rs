//! Runs against well-behaved servers.

use crate::common::program::{Program, assert_fails, lariat};
use crate::common::{self, Folder, WAIT, serve};
use crate::{Counting, Run, Seen, echo, finished, load};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

pub(crate) fn url(addr: SocketAddr) -> String {
    format!("ws://{addr}/")
}

/// Returns what the server saw, once it has seen the last connection close, which is after the
/// client.
pub(crate) fn settled(seen: &Arc<Mutex<Seen>>) -> MutexGuard<'_, Seen> {
    let began = Instant::now();
    loop {
        let seen = seen.lock().expect("nobody has panicked");
        if seen.open == 0 {
            return seen;
        }
        assert!(began.elapsed() < WAIT, "{} are still open", seen.open);
        drop(seen);
        std::thread::yield_now();
    }
}

/// Checks that the report has the counts of the server.
pub(crate) fn check(run: &Run, seen: &Arc<Mutex<Seen>>) {
    assert_eq!(run.errors(), [], "{}", run.stderr);
    let seen = settled(seen);
    assert_eq!(run.count("connections opened"), seen.opened);
    assert_eq!(run.count("connections begun"), seen.opened);
    assert_eq!(run.count("connections most"), seen.most);
    assert_eq!(run.count("messages sent"), seen.messages);
    assert_eq!(run.count("messages bytes_sent"), seen.bytes);
    assert_eq!((seen.normal, seen.ended_otherwise, seen.open), (seen.opened, 0, 0), "every Close was answered");
    assert_eq!(run.report["ended"], "complete");
    assert_eq!(run.limits(), [""; 0]);
    assert_eq!((run.count("schema"), run.code), (1, Some(0)));
}

#[test]
fn every_echo_is_counted_and_compared() {
    for options in ["--depth 1", "--pipeline 8 --binary --size 3000", "--depth 4 --message {id}:{seq}:{time}"] {
        let (server, seen) = Counting::new(echo);
        let running = serve(server);
        let run = load(&url(running.addr), &format!("-c 20 --echo --hold 300ms {options}"));
        let sent = run.count("messages sent");
        assert!(sent >= 20, "{options}: {sent}");
        for path in ["messages received", "messages right", "latency round_trip count"] {
            assert_eq!(run.count(path), sent, "{options}: {path}");
        }
        assert_eq!(run.count("latency connect count"), 20);
        assert_eq!(run.count("latency handshake count"), 20);
        check(&run, &seen);
    }
}

#[test]
fn a_rate_is_kept_regardless_of_what_comes_back() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let run = load(&url(running.addr), "-c 7 --echo -m 300 --hold 2s --rate 100/s");
    let sent = run.count("messages sent");
    // The last message may be due exactly when the hold ends, and a busy host may end it late.
    assert!((598..=640).contains(&sent), "{sent}");
    assert_eq!(run.count("messages right"), sent);
    assert_eq!(run.count("latency send_delay count"), sent);
    assert!(run.number("connections opening_s") >= 0.06, "the last of 7 began 60 ms after the first");
    check(&run, &seen);
}

#[test]
fn templates_number_connections_and_messages() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let run = load(&url(running.addr), "-c 3 --echo -m 30 --hold 1s --message <{id}|{seq}>");
    let mut texts = seen.lock().expect("nobody has panicked").texts.clone();
    texts.sort();
    let mut expected: Vec<String> =
        (0..run.count("messages sent")).map(|k| format!("<{}|{}>", (k + 1) % 3, k / 3)).collect();
    expected.sort();
    assert_eq!(texts, expected);
    check(&run, &seen);
}

#[test]
fn messages_that_are_only_sent_are_counted() {
    let (server, seen) = Counting::new(|_, _, _| {});
    let running = serve(server);
    let run = load(&url(running.addr), "-c 5 -m 20/connection --hold 500ms");
    assert!((50..=60).contains(&run.count("messages sent")), "{:#}", run.report["messages"]);
    assert!(run.report["latency"]["round_trip"].is_null());
    check(&run, &seen);
}

#[test]
fn publications_are_followed_to_the_last_receiver() {
    for pace in ["--depth 1", "--depth 20", "-m 40"] {
        let (server, seen) = Counting::new(|clients, _, message| {
            clients.publish("all", message);
        });
        let running = serve(server);
        let run = load(&url(running.addr), &format!("-c 30 --subscribe --hold 500ms {pace}"));
        let published = run.count("messages published");
        assert!(published >= 20, "{pace}: {published}");
        assert_eq!(run.count("messages complete"), published, "{pace}");
        assert_eq!(run.count("messages right"), published * 29, "{pace}: the publisher's own copies are not awaited");
        assert_eq!(run.count("messages received"), published * 30, "{pace}");
        assert_eq!(run.count("latency last_receiver count"), published, "{pace}");
        assert!(run.number("latency last_receiver p50_us") >= run.number("latency round_trip p50_us"), "{pace}");
        check(&run, &seen);
    }
}

#[test]
fn connections_that_are_opened_again_are_all_counted() {
    for churn in ["50/s", "max"] {
        let (server, seen) = Counting::new(echo);
        let running = serve(server);
        let run = load(&url(running.addr), &format!("-c 10 --churn {churn} --hold 1s"));
        let seen = settled(&seen);
        assert_eq!(run.errors(), [], "{}", run.stderr);
        assert_eq!((run.count("connections opened"), seen.normal), (seen.opened, seen.opened), "{churn}");
        let churned = run.count("connections churned");
        // Connections that open after the end of the hold are not counted.
        assert!(churned >= 40 && churned + 10 <= seen.opened && seen.opened <= churned + 20, "{churn}: {churned}");
        assert!(churn == "max" || churned <= 60, "{churned}");
    }
}

#[test]
fn several_processes_add_up() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let run = load(&url(running.addr), "-c 20 --processes 3 --echo -m 90 --hold 1s");
    assert_eq!(run.count("messages right"), run.count("messages sent"));
    assert_eq!(run.count("latency round_trip count"), run.count("messages sent"));
    check(&run, &seen);
}

#[test]
fn several_servers_and_compression() {
    let pairs = [Counting::new(echo), Counting::new(echo)];
    let [(first, one), (second, other)] = pairs;
    let (first, second) = (serve(first), serve(second));
    let arguments = ["load", &url(first.addr), &url(second.addr), "-c", "10", "--echo", "--deflate", "--size", "2000"];
    let output = lariat(&[&arguments[..], &["--hold", "200ms", "--json", "-"]].concat()).output();
    let run = finished(&output.expect("the program runs"));
    let [one, other] = [one, other].map(|seen| seen.lock().map(|seen| (seen.opened, seen.messages)).expect("it lives"));
    assert_eq!((one.0, other.0), (5, 5));
    assert_eq!(run.count("messages right"), one.1 + other.1);
}

/// The server is tungstenite, with a thread for each connection.
#[test]
fn tungstenite_counts_the_same() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = url(listener.local_addr().expect("an address"));
    let seen = Arc::new(Mutex::new((0_u64, 0_u64)));
    let counts = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counts = Arc::clone(&counts);
            std::thread::spawn(move || {
                let mut socket = tungstenite::accept(stream).expect("a good handshake");
                counts.lock().expect("it lives").0 += 1;
                while let Ok(message) = socket.read() {
                    if message.is_text() || message.is_binary() {
                        counts.lock().expect("it lives").1 += 1;
                        socket.send(message).expect("the client reads");
                    }
                }
            });
        }
    });
    let run = load(&address, "-c 20 --echo --depth 4 --size 700 --hold 300ms");
    assert_eq!(run.errors(), [], "{}", run.stderr);
    let (opened, messages) = *seen.lock().expect("it lives");
    assert_eq!((run.count("connections opened"), run.count("messages sent")), (opened, messages));
    assert_eq!(run.count("messages right"), messages);
}

#[test]
fn a_signal_ends_it_early_with_a_full_report() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    // Four workers are hardly ever silent together, so the signal must be noticed between two
    // lines.
    for processes in ["1", "2", "4"] {
        *seen.lock().expect("nobody has panicked") = Seen::default();
        let (address, began) = (url(running.addr), Instant::now());
        let arguments =
            ["load", &address, "-c", "10", "--echo", "--hold", "1h", "--processes", processes, "--json", "-"];
        let child = lariat(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        while seen.lock().expect("nobody has panicked").messages < 20 {
            assert!(began.elapsed() < WAIT, "no messages");
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill(1)").success());
        let signalled = Instant::now();
        let run = finished(&child.wait_with_output().expect("it ends"));
        assert!(signalled.elapsed() < WAIT, "{processes} processes: {:?}", signalled.elapsed());
        assert_eq!(run.report["ended"], "interrupted by a signal", "{processes} processes");
        assert_eq!(run.errors(), [], "{processes} processes");
        let seen = settled(&seen);
        assert_eq!((run.count("connections opened"), run.count("messages sent")), (10, seen.messages));
        assert_eq!(run.count("messages right") + run.count("messages unanswered"), seen.messages);
    }
}

#[test]
fn a_run_is_interrupted_while_it_connects() {
    for processes in ["1", "2"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = url(listener.local_addr().expect("an address"));
        let arguments = ["load", &address, "-c", "10", "--echo", "--processes", processes, "--json", "-"];
        let child = lariat(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // Nobody answers the upgrades.
        let streams: Vec<_> = listener.incoming().take(10).collect();
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill(1)").success());
        let run = finished(&child.wait_with_output().expect("it ends"));
        drop(streams);
        assert_eq!(run.report["ended"], "interrupted by a signal", "{processes} processes");
        assert_eq!((run.limits(), run.code), (vec!["interrupted"], Some(1)), "{}", run.stderr);
        assert_eq!((run.number("connections opened_per_second"), run.number("messages per_second")), (0.0, 0.0));
        assert!(run.number("connections opening_s") > 0.0, "{processes} processes");
    }
}

#[test]
fn expectations_decide_the_exit_code() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let run = |expect: &str| load(&url(running.addr), &format!("-c 2 --echo -m 20 --hold 200ms --expect {expect}"));
    let good = run("errors=0,connections=2,p50<1h,connect.max<1h");
    assert_eq!((good.code, good.stderr.contains("DOES NOT HOLD")), (Some(0), false));
    let bad = run("errors=0,p50<1us");
    assert_eq!(bad.code, Some(1));
    assert!(bad.stderr.contains("p50<1us: DOES NOT HOLD"), "{}", bad.stderr);
}

#[test]
fn the_page_and_the_table_are_written() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let folder = Folder::new();
    let [page, table] = ["run.html", "run.csv"].map(|name| folder.argument(name));
    let files = format!("--html {page} --csv {table}");
    let run = load(&url(running.addr), &format!("-c 2 --echo -m 50 --hold 1500ms {files}"));
    let [page, table] = [page, table].map(|path| std::fs::read_to_string(path).expect("it was written"));
    assert!(page.starts_with("<!doctype html>") && page.contains("</html>") && page.matches("<svg").count() == 4);
    let sent = |line: &str| line.split(',').nth(4).and_then(|sent| sent.parse::<u64>().ok());
    let total: u64 = table.lines().skip(1).filter_map(sent).sum();
    assert_eq!(total, run.count("messages sent"), "{table}");
}

#[test]
fn the_server_on_this_host_is_found_and_measured() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let addr = program.ready();
    // The CPU time of this many handshakes is more than the clock's resolution.
    let run = load(&format!("ws://{addr}/echo"), "-c 400 --echo --hold 500ms");
    if cfg!(target_os = "linux") {
        assert_eq!(run.count("server pids 0"), u64::from(program.child.id()));
        assert_eq!(run.report["server"]["name"], "lariat");
        assert!(run.number("server cpu_ns_per_message") > 0.0 && run.number("server cpu_ns_per_handshake") > 0.0);
        assert!(run.count("server files_open") >= 400);
    }
    assert!(run.number("client cpu_ns_per_message") > 0.0);
}

/// Memory of the process, without the memory of the kernel.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_costs_at_most_128_bytes() {
    let count = if cfg!(debug_assertions) { 2_000 } else { 19_000 };
    let count = count.min(common::descriptors().saturating_sub(100));
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let addr = program.ready();
    let run = load(&format!("ws://{addr}/echo"), &format!("-c {count} --hold 100ms"));
    assert_eq!(run.errors(), []);
    assert_eq!(run.count("connections most"), count as u64);
    // The sockets of a debug build are larger, and there are fewer connections to share the fixed
    // costs.
    let (each, fixed) = if cfg!(debug_assertions) { (144.0, 768_000.0) } else { (128.0, 0.0) };
    let bytes = run.number("client memory_bytes_per_connection");
    println!("{count} connections, {bytes} bytes each");
    assert!(bytes <= each + fixed / count as f64, "{bytes} bytes for each of {count}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_is_a_failure() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let address = url(running.addr);
    for option in ["--json", "--csv", "--html", "--junit"] {
        let arguments = ["load", &address, "-c", "1", "--hold", "10ms", option, "/no/such/folder/report"];
        assert_fails(&arguments, 1, &["/no/such/folder/report"]);
    }
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 0, "the paths are checked before the run");
    for option in [&[][..], &["--json", "-"], &["--csv", "-"], &["--junit", "-"], &["--html", "-"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let arguments = [&["load", &address, "-c", "1", "--hold", "10ms"], option].concat();
        let status = lariat(&arguments).stdout(full).status();
        assert_eq!(status.expect("the program runs").code(), Some(1), "{option:?}");
    }
    for option in ["--json", "--csv", "--html", "--junit"] {
        let arguments = ["load", &address, "-c", "1", "--hold", "10ms", option, "/dev/full"];
        let output = lariat(&arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write /dev/full"), "{output:?}");
    }
}

#[test]
fn standard_output_takes_one_form() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let address = url(running.addr);
    let arguments = ["load", &address, "-c", "1", "--hold", "10ms"];
    let output = lariat(&[&arguments[..], &["--html", "-"]].concat()).output().expect("the program runs");
    let (page, text) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(page.starts_with("<!doctype") && text.contains("limited by"), "{page} {text}");
    for two in [["--json", "-", "--csv", "-"], ["--html", "-", "--junit", "-"]] {
        assert_fails(&[&arguments[..], &two].concat(), 2, &["standard output takes one"]);
    }
    assert_fails(&["load", "merge", "a", "b", "--json", "-", "--html", "-"], 2, &["standard output takes one"]);
}

#[test]
fn a_message_that_is_too_large_is_wrong_usage() {
    let too_large = |option: &[&str]| {
        assert_fails(&[&["load", "ws://127.0.0.1:1/", "-c", "1", "--echo"], option].concat(), 2, &["at most 1GiB"]);
    };
    too_large(&["--size", "100GiB"]);
    // It has no content, so it takes no space.
    let folder = Folder::new();
    let file = std::fs::File::create(folder.path("message")).expect("a file");
    file.set_len((1 << 30) + 1).expect("a length");
    too_large(&["--message", &folder.argument("message")]);
}
