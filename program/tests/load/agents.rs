//! `lariat load` on several hosts, which are one in these tests: agents and the controller that
//! leads them.

use crate::common::program::{Program, lariat};
use crate::common::{WAIT, serve, until};
use crate::runs::{check, settled, url};
use crate::{Counting, Run, Seen, echo, finished};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An agent on a free port, with a folder of its own for temporary files.
pub struct Agent {
    program: Program,
    pub addr: SocketAddr,
    folder: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Agent {
    pub fn start() -> Agent {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("lariat-agents-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = lariat(&["load", "--agent", "127.0.0.1:0"]);
        command.env("LARIAT_TOKEN", TOKEN).env("TMPDIR", &folder).stderr(Stdio::piped());
        let mut program = Program::spawn(command);
        let (addr, log) = (program.ready(), Arc::new(Mutex::new(String::new())));
        let (stderr, lines) = (program.child.stderr.take().expect("it is piped"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *lines.lock().expect("it lives") += &(line + "\n");
            }
        });
        Agent { program, addr, folder, log }
    }

    fn has_logged(&self, text: &str) -> bool {
        self.log.lock().expect("it lives").contains(text)
    }

    /// Returns how many entries are in the folder for temporary files.
    fn files(&self) -> usize {
        std::fs::read_dir(&self.folder).expect("it is there").count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // What is left there is of no use.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn agents<const N: usize>() -> [Agent; N] {
    std::array::from_fn(|_| Agent::start())
}

/// A controller with these options.
fn controller(url: &str, agents: &[&Agent], token: &str, options: &str) -> Command {
    let list = agents.iter().map(|agent| agent.addr.to_string()).collect::<Vec<_>>().join(",");
    let fixed = ["load", url, "--agents", &list, "--json", "-"];
    let options: Vec<&str> = options.split_whitespace().collect();
    let mut command = lariat(&[&fixed[..], &options].concat());
    command.env("LARIAT_TOKEN", token).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(url: &str, agents: &[&Agent], options: &str) -> Run {
    finished(&controller(url, agents, TOKEN, options).output().expect("the program runs"))
}

fn ended(child: Child) -> Run {
    finished(&child.wait_with_output().expect("it ends"))
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.expect("kill(1)").success());
}

/// Runs a controller that must fail. Returns its exit code and what it says.
fn failure(url: &str, agents: &[&Agent], token: &str, options: &str) -> (Option<i32>, String) {
    let output = controller(url, agents, token, options).output().expect("the program runs");
    assert!(output.stdout.is_empty(), "there is no report");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn messages(seen: &Mutex<Seen>) -> u64 {
    seen.lock().expect("nobody has panicked").messages
}

#[test]
fn two_agents_do_one_run_together() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let [one, other] = agents();
    // The message is sent to the agents as a file.
    let options = "-c 20 --echo -m 200 --hold 1s --processes 2 --message {id}|{seq}";
    let run = run(&url(running.addr), &[&one, &other], options);
    check(&run, &seen);
    let sent = run.count("messages sent");
    let counts = run.report["histograms"]["round_trip"].as_array().expect("a list").iter();
    assert_eq!(counts.filter_map(|pair| pair[1].as_u64()).sum::<u64>(), sent, "each round trip is in a bucket");
    assert_eq!((run.count("messages right"), run.count("latency round_trip count")), (sent, sent));
    let texts = seen.lock().expect("nobody has panicked").texts.clone();
    let mut firsts: Vec<&str> = texts.iter().filter_map(|text| text.strip_suffix("|0")).collect();
    firsts.sort_by_key(|id| id.parse::<u32>().ok());
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    assert_eq!(firsts, ids, "each connection has a number of its own");
    assert_eq!(run.report["asked"]["agents"], json!([one.addr.to_string(), other.addr.to_string()]));
    assert_eq!((run.count("asked connections"), run.count("client processes_lost")), (20, 0));
    assert!(run.stderr.contains("by 2 agents with 2 processes each"), "{}", run.stderr);
    assert!(run.report["series"].as_array().is_some_and(|series| series.iter().any(|second| second["open"] == 20)));
    for agent in [&one, &other] {
        until(|| agent.has_logged("has ended"));
        assert_eq!(agent.files(), 0, "the file has gone");
    }
}

#[test]
fn rows_and_a_scenario_go_to_the_agents_and_no_row_is_used_twice() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (folder, [one, other]) = (crate::common::Folder::new(), agents());
    let rows: String = (0..9).map(|number| format!("user-{number}\n")).collect();
    std::fs::write(folder.path("rows.csv"), format!("user\n{rows}")).expect("a file");
    std::fs::write(folder.path("steps"), "send {user} {id}\nexpect next exact {user} {id}\nclose").expect("a file");
    let (rows, steps) = (folder.argument("rows.csv"), folder.argument("steps"));
    let options = format!("-c 12 --data {rows} --rows end --scenario {steps}");
    let run = run(&url(running.addr), &[&one, &other], &options);
    assert_eq!((run.code, run.errors(), run.count("walks finished")), (Some(0), vec![], 9), "{}", run.stderr);
    assert_eq!((run.count("steps 1 done"), run.count("steps 1 latency count")), (9, 9));
    let mut texts = seen.lock().expect("nobody has panicked").texts.clone();
    texts.sort_unstable();
    let expected: Vec<String> = (0..9).map(|number| format!("user-{number} {number}")).collect();
    assert_eq!(texts, expected);
}

#[test]
fn without_the_token_nothing_begins() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (address, [one, other]) = (url(running.addr), agents());
    let (code, text) = failure(&address, &[&one, &other], "0123456789abcdef0123456789abcdeF", "-c 4 --hold 1s");
    assert_eq!(code, Some(1), "{text}");
    let refusal = |agent: &Agent| format!("agent {}: the token is wrong", agent.addr);
    assert!(text.contains(&refusal(&one)) && text.contains(&refusal(&other)), "{text}");
    until(|| one.has_logged("the token is wrong"));
    for token in ["", "short"] {
        let (code, text) = failure(&address, &[&one], token, "-c 4");
        assert!(code == Some(2) && text.contains("LARIAT_TOKEN"), "{text}");
        let output = lariat(&["load", "--agent", "127.0.0.1:0", "--token", token]).output().expect("it runs");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 0);
    let run = run(&address, &[&one, &other], "-c 4 --hold 100ms");
    check(&run, &seen);
}

#[test]
fn all_agents_or_none() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (address, agent) = (url(running.addr), Agent::start());
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let list = format!("{},{closed}", agent.addr);
    let output = lariat(&["load", &address, "--agents", &list, "--token", TOKEN]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&format!("agent {closed}: cannot connect")), "{text}");
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 0);
}

#[test]
fn an_agent_that_is_killed_costs_its_own_measurements_only() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let [mut one, other] = agents();
    let options = "-c 20 --echo -m 400 --hold 4s --processes 2";
    let child = controller(&url(running.addr), &[&one, &other], TOKEN, options).spawn().expect("it starts");
    // The first second has been told.
    until(|| messages(&seen) >= 600);
    one.program.child.kill().expect("it is our child");
    let run = ended(child);
    assert_eq!((run.code, run.limits().first()), (Some(1), Some(&"load-process-lost")), "{}", run.stderr);
    let how = format!("2 of 4 load processes ended without a report (agent {}: the connection", one.addr);
    assert!(run.report["ended"].as_str().is_some_and(|ended| ended.contains(&how)), "{}", run.report["ended"]);
    assert_eq!((run.count("connections opened"), run.count("client processes_lost")), (10, 2));
    let series = run.report["series"].as_array().expect("a list");
    let sum: u64 = series.iter().filter_map(|second| second["sent"].as_u64()).sum();
    assert!(sum > run.count("messages sent"), "the series has what the lost agent did");
    assert!(run.count("messages right") >= 600, "the other one went on: {:#}", run.report["messages"]);
    drop(settled(&seen));
}

#[test]
fn agents_whose_controller_is_killed_end_the_run_and_wait_for_the_next() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (address, [one, other]) = (url(running.addr), agents());
    let options = "-c 10 --echo -m 100 --hold 1h --message hello";
    let mut child = controller(&address, &[&one, &other], TOKEN, options).spawn().expect("it starts");
    until(|| messages(&seen) >= 20);
    assert_eq!((one.files(), other.files()), (1, 1));
    child.kill().expect("it is our child");
    child.wait().expect("it has ended");
    until(|| seen.lock().expect("nobody has panicked").open == 0);
    until(|| one.has_logged("was stopped") && other.has_logged("was stopped"));
    assert_eq!((one.files(), other.files()), (0, 0));
    *seen.lock().expect("nobody has panicked") = Seen::default();
    let run = run(&address, &[&one, &other], "-c 10 --echo -m 100 --hold 300ms");
    check(&run, &seen);
}

#[test]
fn a_signal_ends_all_agents_early_with_a_report() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let [one, other] = agents();
    let options = "-c 10 --echo --hold 1h";
    let child = controller(&url(running.addr), &[&one, &other], TOKEN, options).spawn().expect("it starts");
    until(|| messages(&seen) >= 20);
    signal(&child, "INT");
    let run = ended(child);
    assert_eq!((&run.report["ended"], run.errors()), (&json!("interrupted by a signal"), vec![]), "{}", run.stderr);
    let seen = settled(&seen);
    assert_eq!((run.count("connections opened"), run.count("messages sent")), (10, seen.messages));
}

#[test]
fn an_agent_that_hangs_counts_as_lost() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (address, [one, other]) = (url(running.addr), agents());
    let options = "-c 10 --echo -m 100 --hold 2s";
    let child = controller(&address, &[&one, &other], TOKEN, options).spawn().expect("it starts");
    until(|| messages(&seen) >= 20);
    one.program.signal("STOP");
    let run = ended(child);
    one.program.signal("CONT");
    assert_eq!((run.code, run.count("client processes_lost")), (Some(1), 1), "{}", run.stderr);
    let how = format!("agent {}: nothing that it says has come for 10 s", one.addr);
    assert!(run.stderr.contains(&how), "{}", run.stderr);
    assert_eq!(run.count("connections opened"), 5);
    // It wakes up, and is ready for the next run.
    until(|| one.has_logged("was stopped") || one.has_logged("has ended"));
    drop(settled(&seen));
    *seen.lock().expect("nobody has panicked") = Seen::default();
    check(&self::run(&address, &[&one], "-c 4 --hold 100ms"), &seen);
}

#[test]
fn an_agent_ends_the_run_of_a_controller_that_hangs() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let agent = Agent::start();
    let options = "-c 4 --echo -m 100 --hold 1h";
    let child = controller(&url(running.addr), &[&agent], TOKEN, options).spawn().expect("it starts");
    until(|| messages(&seen) >= 20);
    signal(&child, "STOP");
    until(|| agent.has_logged("was stopped: nothing that it says has come for 10 s"));
    drop(settled(&seen));
    signal(&child, "CONT");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_busy_agent_says_so() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (address, [one, other]) = (url(running.addr), agents());
    let child = controller(&address, &[&one], TOKEN, "-c 4 --echo --hold 1h").spawn().expect("it starts");
    until(|| messages(&seen) >= 4);
    let (code, text) = failure(&address, &[&other, &one], TOKEN, "-c 4 --hold 100ms");
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("agent {}: this agent is busy with a run for 127.0.0.1:", one.addr)), "{text}");
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 4, "the other one has not begun");
    signal(&child, "INT");
    assert_eq!(ended(child).count("connections opened"), 4, "the run went on");
}

#[test]
fn a_signal_ends_an_agent_and_its_workers_and_files() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let mut agent = Agent::start();
    let options = "-c 4 --echo --hold 1h --message hello";
    let child = controller(&url(running.addr), &[&agent], TOKEN, options).spawn().expect("it starts");
    until(|| messages(&seen) >= 4);
    agent.program.signal("INT");
    assert!(agent.program.wait().success());
    assert_eq!(agent.files(), 0);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
    assert!(text.contains(&format!("agent {}: the connection", agent.addr)), "{text}");
    drop(settled(&seen));
}

#[test]
fn what_a_worker_of_an_agent_cannot_do_is_reported() {
    let agent = Agent::start();
    let (code, text) = failure("wss://127.0.0.1:9/", &[&agent], TOKEN, "-c 2 --ca /no/such/ca.pem");
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("agent {}: cannot use --ca /no/such/ca.pem", agent.addr)), "{text}");
}

#[test]
fn options_that_make_no_sense_are_explained() {
    let agents = "127.0.0.1:1,127.0.0.1:2";
    for (options, why) in [
        (&["ws://127.0.0.1:9/", "--agents", agents, "--subscribe"][..], "several --agents"),
        (&["ws://127.0.0.1:9/", "--agents", agents, "--until", "p99<1s"], "several --agents"),
        (&["ws://127.0.0.1:9/", "--agents", agents, "-c", "1"], "than --connections"),
        (&["ws://127.0.0.1:9/", "--agents", agents, "--source-ip", "127.0.0.2"], "--source-ip and --agents"),
        (&["http://127.0.0.1:9/", "--agents", agents], "ws://host:port/path"),
        (&["--agent", "127.0.0.1:0", "--json", "x"], "--json and --agent"),
        (&["--agent", "127.0.0.1:0", "ws://127.0.0.1:9/"], "cannot be used with"),
    ] {
        let output = lariat(&[&["load", "--token", TOKEN], options].concat()).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(why), "{options:?}: {text}");
    }
}

/// The side of a controller, line by line.
struct Talk {
    reader: BufReader<TcpStream>,
    nonce: String,
}

impl Talk {
    fn begin(agent: &Agent) -> Talk {
        let stream = TcpStream::connect(agent.addr).expect("it listens");
        stream.set_read_timeout(Some(WAIT)).expect("an option");
        let mut talk = Talk { reader: BufReader::new(stream), nonce: String::new() };
        let hello = talk.next();
        assert_eq!(hello["Hello"]["lariat"], env!("CARGO_PKG_VERSION"));
        talk.nonce = hello["Hello"]["nonce"].as_str().expect("a nonce").to_owned();
        talk
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn send(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// Returns the offer of a request with a right proof.
    fn offer(&self, request: &str) -> Value {
        let sha256 = HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, request.as_bytes()).as_ref());
        let (agent, length) = (&self.nonce, request.len());
        let text =
            format!("lariat load --agent, Controller\n{}:{agent}\n2:c1\n{}:{sha256}\n{length}\n", agent.len(), 64);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, TOKEN.as_bytes());
        let proof = HEXLOWER.encode(ring::hmac::sign(&key, text.as_bytes()).as_ref());
        json!({"Offer": {"nonce": "c1", "length": length, "sha256": sha256, "proof": proof}})
    }

    fn refusal(&mut self) -> String {
        let answer = self.next();
        let why = answer["Refused"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_eq!(self.reader.read(&mut [0]).expect("the end"), 0, "the agent closes");
        why
    }
}

fn request(change: impl FnOnce(&mut Value)) -> String {
    let mut request = json!({
        "lariat": env!("CARGO_PKG_VERSION"),
        "arguments": ["--connections=1", "--", "ws://127.0.0.1:1/"],
        "files": [],
        "first": 0, "workers": 1, "parts": 1,
    });
    change(&mut request);
    request.to_string()
}

#[test]
fn an_agent_refuses_requests_for_more_than_a_worker() {
    let agent = Agent::start();
    let written = agent.folder.join("written");
    let refusal = |request: String| {
        let mut talk = Talk::begin(&agent);
        talk.send(&talk.offer(&request).to_string());
        assert!(talk.next()["Ready"]["proof"].is_string(), "the token is right");
        talk.send(&request);
        talk.refusal()
    };
    for option in [
        format!("--json={}", written.display()),
        format!("--csv={}", written.display()),
        format!("--html={}", written.display()),
        "--message=/etc/passwd".to_owned(),
        "--worker=0/9".to_owned(),
        "--processes=99".to_owned(),
        "--agent=127.0.0.1:0".to_owned(),
        "--pid=1".to_owned(),
        "--help".to_owned(),
        "--version".to_owned(),
        "-qc9".to_owned(),
    ] {
        let why = refusal(request(|request| request["arguments"] = json!([option, "--", "ws://127.0.0.1:1/"])));
        assert!(!why.is_empty(), "{option}");
    }
    let why = refusal(request(|request| request["files"] = json!([{"option": "json", "content": ""}])));
    assert!(why.contains("--json is no option with a file"), "{why}");
    let why = refusal(request(|request| request["lariat"] = json!("0.0.1")));
    assert!(why.contains("use the same version"), "{why}");
    assert!(refusal("{}".to_owned()).contains("cannot read the request"));
    assert_eq!(agent.files(), 0);
    // The same without one of these is accepted.
    let mut talk = Talk::begin(&agent);
    talk.send(&talk.offer(&request(|_| {})).to_string());
    talk.next();
    talk.send(&request(|_| {}));
    assert_eq!(talk.next(), "Accepted");
}

#[test]
fn a_proof_is_for_one_connection_and_one_request() {
    let agent = Agent::start();
    let request = request(|_| {});
    let old = Talk::begin(&agent).offer(&request).to_string();
    let mut talk = Talk::begin(&agent);
    talk.send(&old);
    assert_eq!(talk.refusal(), "the token is wrong");
    let mut talk = Talk::begin(&agent);
    talk.send(&talk.offer(&request).to_string());
    talk.next();
    talk.send(&request.replace("=1", "=9"));
    assert_eq!(talk.refusal(), "the request is not the one that was offered");
}

#[test]
fn garbage_costs_an_agent_nothing() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let agent = Agent::start();
    let open: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(agent.addr).expect("it listens")).collect();
    for garbage in
        [&b""[..], b"\n", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 100_000], b"\"Start\"\n", b"{\"Go\":1}\n", b"[["]
    {
        let mut stream = TcpStream::connect(agent.addr).expect("it listens");
        // It may close before it has read all.
        let _ = stream.write_all(garbage).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("Ready"), "{answer:?}");
    }
    until(|| agent.has_logged("no run for 127.0.0.1:") && agent.has_logged("GET / HTTP/1.1"));
    check(&run(&url(running.addr), &[&agent], "-c 4 --hold 100ms"), &seen);
    drop(open);
}

/// An agent that says these lines, each after a line of the controller. Returns what it has heard.
fn impostor(lines: Vec<String>) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let heard = std::thread::spawn(move || {
        let stream = listener.accept().expect("a connection").0;
        let (mut reader, mut heard) = (BufReader::new(&stream), String::new());
        for line in lines {
            (&stream).write_all((line + "\n").as_bytes()).expect("it reads");
            // The controller may close before it has read all.
            let _ = reader.read_line(&mut heard);
        }
        heard
    });
    (addr, heard)
}

#[test]
fn an_agent_without_room_for_the_files_refuses_the_run() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (address, [one, other]) = (url(running.addr), agents());
    std::fs::remove_dir_all(&one.folder).expect("it is there");
    let (code, text) = failure(&address, &[&one, &other], TOKEN, "-c 4 --echo --message hello");
    assert_eq!(code, Some(1));
    assert!(text.contains(&format!("agent {}: cannot write the files of the run below", one.addr)), "{text}");
    until(|| other.has_logged("no run for"));
    assert_eq!((seen.lock().expect("nobody has panicked").opened, other.files()), (0, 0));
    // Without files, it needs no folder.
    check(&run(&address, &[&one, &other], "-c 4 --hold 100ms"), &seen);
}

#[test]
fn a_controller_tells_an_impostor_nothing() {
    let hello = |version: &str| json!({"Hello": {"lariat": version, "nonce": "00"}}).to_string();
    let version = env!("CARGO_PKG_VERSION");
    let ready = json!({"Ready": {"proof": "00".repeat(32)}}).to_string();
    for (lines, why) in [
        (vec![hello("0.0.1")], "it has lariat 0.0.1, and this is"),
        (vec![hello(version), ready], "it does not know the token"),
        (vec![hello(version), "\"Accepted\"".to_owned()], "it does not know the token"),
        (vec!["HTTP/1.1 400 Bad Request".to_owned()], "Is this the address of a `lariat load --agent`?"),
        (vec!["x".repeat(10_000)], "too long"),
    ] {
        let (addr, heard) = impostor(lines);
        let list = addr.to_string();
        let arguments = ["load", "ws://127.0.0.1:1/", "--agents", &list, "--header", "A: secret", "--token", TOKEN];
        let output = lariat(&arguments).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && text.contains(why), "{text}");
        let heard = heard.join().expect("it has not panicked");
        assert!(!heard.contains("secret") && !heard.contains(TOKEN), "{heard}");
    }
}
