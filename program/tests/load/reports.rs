//! What is done with reports: JUnit XML, the sum of several, and comparisons.

use crate::common::program::lariat;
use crate::common::raw::literal;
use crate::common::serve;
use crate::schema::differences;
use crate::{Counting, Run, echo, finished, load};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder for the files of a test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lariat-reports-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("a file");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn output(arguments: &[&str]) -> Output {
    lariat(arguments).output().expect("the program runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `lariat load merge`.
fn merge(arguments: &[&str]) -> Run {
    finished(&output(&[&["load", "merge", "--json", "-"], arguments].concat()))
}

/// Starts a run that writes its report to a file.
fn start(url: &str, path: &str, options: &str) -> std::process::Child {
    let options: Vec<&str> = options.split_whitespace().collect();
    let mut command = lariat(&[&["load", url, "--json", path], &options[..]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs")
}

#[test]
fn two_runs_at_the_same_time_add_up_to_one() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let (url, folder) = (format!("ws://{}/", running.addr), Folder::new("merge"));
    let paths = ["a.json", "b.json"].map(|name| folder.path(name));
    let runs = [
        start(&url, &paths[0], "-c 3 --echo -m 60 --hold 1200ms"),
        start(&url, &paths[1], "-c 5 --echo -m 90 --hold 1200ms"),
    ];
    for mut run in runs {
        assert!(run.wait().expect("it ends").success());
    }
    let page = folder.path("page.html");
    let sum = merge(&[&paths[0], &paths[1], "--expect", "errors=0,connections=8,p99<1h", "--html", &page]);
    assert_eq!((sum.code, sum.errors()), (Some(0), vec![]), "{}", sum.stderr);
    assert_eq!(
        (sum.count("connections most"), sum.count("asked connections"), sum.count("asked processes")),
        (8, 8, 2)
    );
    assert_eq!(sum.number("asked messages_per_second"), 150.0);
    let messages = seen.lock().expect("nobody has panicked").messages;
    for path in ["messages sent", "messages right", "counted", "latency round_trip count"] {
        assert_eq!(sum.count(path), messages, "{path}");
    }
    let sent: u64 =
        sum.report["series"].as_array().expect("a list").iter().filter_map(|second| second["sent"].as_u64()).sum();
    assert_eq!(sent, messages, "of all seconds");
    assert_eq!(differences(&sum.report), [""; 0]);
    let page = std::fs::read_to_string(page).expect("it was written");
    assert!(page.contains("8 connections to ws://") && page.matches("<svg").count() == 4);
    // A sum can be added up again, and the order makes no difference.
    let again = merge(&[&paths[1], &paths[0]]);
    assert_eq!(again.report["histograms"], sum.report["histograms"]);
    assert_eq!(merge(&[&paths[0], &paths[1], "--expect", "p50<1us"]).code, Some(1));
}

#[test]
fn files_that_cannot_be_added_up_are_wrong_usage() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let folder = Folder::new("refused");
    let url = format!("ws://{}/", running.addr);
    let echoing = folder.write("echo.json", &load(&url, "-c 1 --echo --hold 100ms").report.to_string());
    let holding = folder.write("hold.json", &load(&url, "-c 1 --hold 100ms").report.to_string());
    let text = std::fs::read_to_string(&echoing).expect("it was written");
    let cut = folder.write("cut.json", &text[..text.len() / 2]);
    let later = folder.write("later.json", &text.replace("\"schema\":1", "\"schema\":2"));
    let huge = folder.write("huge.json", &text.replace("\"sent\":", "\"sent\":18446744073709551615, \"x\":"));
    let none = folder.path("none.json");
    for (other, why) in [
        (&holding, "the mode is"),
        (&cut, "no report"),
        (&later, "its schema is 2"),
        (&huge, "numbers that no run measures"),
        (&none, "cannot read it"),
        (&"/".to_owned(), "cannot read it"),
    ] {
        for command in ["merge", "diff"] {
            let output = output(&["load", command, &echoing, other]);
            assert_eq!(output.status.code(), Some(2), "{command} {other}: {output:?}");
            assert!(stderr(&output).contains(other) && stderr(&output).contains(why), "{command}: {}", stderr(&output));
            assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        }
    }
    assert_eq!(output(&["load", "merge", &echoing]).status.code(), Some(2), "one is no sum");
}

/// Returns the report of a run of 20 s whose round trips take about so many microseconds.
fn report(micros: u64) -> Value {
    let second = |at: u64| {
        // They differ a little.
        let here = micros * 1_000 + at * 7_919 % 1_000;
        json!({ "at_s": at, "length_s": 1.0, "sent": 100_000 / micros + at % 3, "received": 100_000 / micros + at % 3,
            "p50_us": here as f64 / 1e3, "p99_us": 2.0 * here as f64 / 1e3 })
    };
    let times: Vec<(u64, u64)> = (0..2_000).map(|number| (micros * (800 + number / 5), 5)).collect();
    json!({
        "schema": 1, "ended": "complete",
        "asked": { "mode": "echo", "connections": 10, "message_bytes": 20, "depth": 1 },
        "connections": { "begun": 10, "opened": 10 },
        "messages": { "sent": 10_000, "received": 10_000 },
        "histograms": { "round_trip": times },
        "series": (0..20).map(second).collect::<Vec<_>>(),
    })
}

#[test]
fn the_exit_code_of_a_comparison_says_whether_something_is_worse() {
    let folder = Folder::new("diff");
    let write = |name: &str, report: &Value| folder.write(name, &report.to_string());
    let (old, new, same) = (write("old", &report(100)), write("new", &report(130)), write("same", &report(100)));
    let mut empty = report(100);
    (empty["histograms"], empty["series"], empty["messages"], empty["connections"]) =
        (json!({}), json!([]), json!({}), json!({}));
    let empty = write("empty", &empty);
    for (arguments, code) in [
        (&[&*old, &*same][..], 0),
        (&[&*old, &*new], 1),
        (&[&*new, &*old], 0),
        (&[&*old, &*new, "--tolerance", "50%"], 0),
        (&[&*empty, &*empty], 2),
        (&[&*old], 2),
        (&[], 2),
        (&[&*old, &*new, "--tolerance", "much"], 2),
        (&[&*old, &*new, "--old", &*old, "--new", &*new], 2),
        (&["--old", &*old], 2),
        (&[&*old, &*new, "--json", "/no/such/folder/diff.json"], 2),
        (&["--old", &format!("{old},{same},{old}"), "--new", &format!("{new},{new},{new}")], 1),
    ] {
        let output = output(&[&["load", "diff"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_comparison_shows_intervals_and_reasons() {
    let folder = Folder::new("shown");
    let (old, mut new) = (report(100), report(130));
    new["asked"]["connections"] = 20.into();
    new["ended"] = "interrupted by a signal\u{1b}[2J".into();
    new["limits"] = json!([{ "limit": "client-cpu", "evidence": "this client was busy" }, { "limit": "refused" }]);
    new["server"] = json!({ "cpu_ns_per_message": 5 });
    let [old, new] =
        [("old.json", old), ("new.json", new)].map(|(name, report)| folder.write(name, &report.to_string()));
    let shown = output(&["load", "diff", &old, &new]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in [
        "round_trip p50",
        "+30.0 % [",
        "worse",
        "the connections: 10 in OLD, 20 in NEW",
        "ended early",
        "new.json: this client was busy",
        "only NEW has it",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"), "{text}");
    let output = output(&["load", "diff", &old, &new, "--json", "-"]);
    let comparison: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let row = &comparison["metrics"][0];
    assert_eq!(
        (&comparison["verdict"], &row["metric"], &row["verdict"]),
        (&"worse".into(), &"round_trip p50".into(), &"worse".into())
    );
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {row:#}"));
    let (low, value, high) = (number(&row["old"]["low"]), number(&row["old"]["value"]), number(&row["old"]["high"]));
    assert!(low < value && value < high && (99_000.0..101_000.0).contains(&value), "{row:#}");
    let change = &row["change"];
    assert!(number(&change["low_percent"]) > 20.0 && number(&change["high_percent"]) < 40.0, "{row:#}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), text, "the text goes to standard error");
}

#[test]
fn runs_that_measured_something_else_are_not_compared() {
    let folder = Folder::new("plans");
    let mut other = report(100);
    other["asked"]["message_bytes"] = 21.into();
    let [old, new] =
        [("old.json", report(100)), ("new.json", other)].map(|(name, report)| folder.write(name, &report.to_string()));
    let output = output(&["load", "diff", &old, &new]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the size of a message is 20 there, and 21 here"), "{}", stderr(&output));
}

/// Reads JUnit XML with a parser of another project. Returns the suite's numbers of tests and of
/// failures, and each case with its failure.
fn parse(path: &Path) -> (u64, u64, Vec<(String, Option<String>)>) {
    let script = "import json, sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.argv[1]).getroot().find('testsuite')
def failure(case):
    found = case.find('failure')
    return None if found is None else found.get('message') + '|' + (found.text or '')
cases = [(case.get('name'), failure(case)) for case in suite.findall('testcase')]
print(json.dumps([int(suite.get('tests')), int(suite.get('failures')), cases]))";
    let output = Command::new("python3").args(["-c", script]).arg(path).output().expect("Python is there");
    assert!(
        output.status.success(),
        "{}: {}",
        String::from_utf8_lossy(&output.stderr),
        std::fs::read_to_string(path).unwrap_or_default()
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn junit_has_a_case_for_the_run_and_each_expectation() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let folder = Folder::new("junit");
    let path = folder.path("junit.xml");
    let url = format!("ws://{}/", running.addr);
    let run = load(&url, &format!("-c 2 --echo -m 20 --hold 200ms --expect errors=0,p50<1us --junit {path}"));
    assert_eq!(run.code, Some(1));
    let (tests, failures, cases) = parse(Path::new(&path));
    assert_eq!((tests, failures), (3, 1));
    assert_eq!(cases[..2], [("run".to_owned(), None), ("errors=0".to_owned(), None)]);
    let (name, failure) = &cases[2];
    assert!(
        name == "p50<1us" && failure.as_ref().is_some_and(|why| why.contains("does not hold: measured")),
        "{cases:?}"
    );
}

#[test]
fn junit_is_well_formed_whatever_the_server_says() {
    let hostile = literal(|stream| {
        std::io::BufRead::fill_buf(stream)?;
        let place = b"]]>&amp;<b a='\"'>\x01\x1b\x7f\xff\xef\xbf\xbf\xed\xa0\x80";
        let head =
            [b"HTTP/1.1 302 Found\r\nLocation: https://x/", &place[..], b"\r\nContent-Length: 0\r\n\r\n"].concat();
        stream.get_mut().write_all(&head)
    });
    let folder = Folder::new("hostile");
    let path = folder.path("junit.xml");
    let run = load(&format!("{hostile}?a=%00&b='&c"), &format!("-c 1 --junit {path}"));
    assert_eq!(run.code, Some(1));
    let (tests, failures, cases) = parse(Path::new(&path));
    assert_eq!((tests, failures), (1, 1));
    let failure = cases[0].1.as_ref().expect("it failed");
    assert!(failure.contains("no connection"), "{failure}");
}
