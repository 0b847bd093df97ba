//! Which options a controller may choose for an agent.
//!
//! Both sides read the options with the parser of `lariat load`, and write those of a list again.
//! So an option that is on no list never gets to a worker, however it is written.

use super::protocol::SentFile;
use crate::load::plan::{Options, Usage};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command};
use std::ffi::OsString;

/// What goes to the agents: what the connections do. The paths of `--ca`, `--cert` and `--key` are
/// of the agent's own host.
const TRAVEL: [&str; 34] = [
    "urls",
    "connections",
    "rate",
    "ramp",
    "at_once",
    "hold",
    "duration",
    "churn",
    "storm",
    "reconnect",
    "slow_readers",
    "malformed",
    "rows",
    "timeout",
    "ping",
    "ca",
    "cert",
    "key",
    "insecure",
    "resume",
    "echo",
    "subscribe",
    "follow",
    "messages_per_second",
    "depth",
    "size",
    "text",
    "binary",
    "until",
    "seed",
    "subprotocol",
    "header",
    "origin",
    "deflate",
];

/// Options that may name a file. Its content goes to the agents (`plan/files.rs`).
const FILES: [&str; 3] = ["message", "data", "scenario"];

/// What only the controller needs: its report, and how the work is shared.
const STAY: [&str; 12] =
    ["processes", "pid", "expect", "json", "html", "junit", "csv", "quiet", "agents", "token", "metrics", "ui"];

/// What an agent itself may be told.
const AGENT: [&str; 3] = ["agent", "token", "quiet"];

/// Returns the parser of `lariat load`, for arguments without the name of a program.
fn parser() -> Command {
    Options::augment_args(Command::new("load").no_binary_name(true))
}

/// The arguments of `lariat load` as the parser has read them.
struct Line {
    parser: Command,
    matches: ArgMatches,
}

impl Line {
    fn read(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Line, String> {
        let mut parser = parser();
        let matches = parser.try_get_matches_from_mut(arguments).map_err(|error| error.to_string())?;
        Ok(Line { parser, matches })
    }

    /// Returns the options that were given. Those with a default were not.
    fn given(&self) -> impl Iterator<Item = &Arg> {
        let is_given = |option: &&Arg| {
            let id = option.get_id().as_str();
            // clap knows nothing of the values of --help.
            self.matches.try_contains_id(id).is_ok_and(|is_there| is_there)
                && self.matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        self.parser.get_arguments().filter(is_given)
    }

    /// Returns the arguments for these options, written in one way only.
    fn written(&self, ids: &[&str]) -> Result<Vec<String>, String> {
        let (mut options, mut urls) = (Vec::new(), vec!["--".to_owned()]);
        for option in self.given().filter(|option| ids.contains(&option.get_id().as_str())) {
            let Some(long) = option.get_long() else {
                urls.extend(self.values(option)?);
                continue;
            };
            if !option.get_action().takes_values() {
                options.push(format!("--{long}"));
                continue;
            }
            options.extend(self.values(option)?.into_iter().map(|value| format!("--{long}={value}")));
        }
        options.extend(urls);
        Ok(options)
    }

    fn values(&self, option: &Arg) -> Result<Vec<String>, String> {
        let values = self.matches.get_raw(option.get_id().as_str()).into_iter().flatten();
        let text = |value: &std::ffi::OsStr| {
            value.to_str().map(str::to_owned).ok_or_else(|| format!("{value:?} of {} is not text", name(option)))
        };
        values.map(text).collect()
    }

    /// Returns the first option that is on none of these lists.
    fn other(&self, lists: &[&[&str]]) -> Option<String> {
        let is_listed = |option: &Arg| lists.iter().any(|list| list.contains(&option.get_id().as_str()));
        self.given().find(|option| !is_listed(option)).map(name)
    }
}

/// Returns the name of an option as users write it.
fn name(option: &Arg) -> String {
    option.get_long().map_or_else(|| "URL".to_owned(), |long| format!("--{long}"))
}

/// Returns the arguments of this process after `load`.
fn own_arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1).skip_while(|argument| argument != "load").skip(1)
}

/// Returns the options of this process that go to the agents.
pub(super) fn own_options() -> Result<Vec<String>, Usage> {
    travelling(own_arguments()).map_err(Usage)
}

fn travelling(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, String> {
    let line = Line::read(arguments)?;
    match line.other(&[&TRAVEL, &FILES, &STAY]) {
        Some(other) => Err(format!("cannot combine {other} and --agents")),
        None => line.written(&TRAVEL),
    }
}

/// Returns the options of a request, or says which one an agent refuses.
pub(super) fn allowed(arguments: &[String]) -> Result<Vec<String>, String> {
    let line = Line::read(arguments).map_err(|error| error.lines().next().unwrap_or_default().to_owned())?;
    match line.other(&[&TRAVEL]) {
        Some(other) => Err(format!("{other} is no option that a controller may choose")),
        None => line.written(&TRAVEL),
    }
}

/// Returns the option of a file of a request, or says that an agent refuses it.
pub(super) fn allowed_file(file: &SentFile) -> Result<&str, String> {
    let is_known = FILES.iter().any(|id| id.replace('_', "-") == file.option);
    if is_known { Ok(&file.option) } else { Err(format!("--{} is no option with a file", file.option)) }
}

/// Refuses options that `--agent` would ignore.
pub(crate) fn check_agent() -> Result<(), Usage> {
    match Line::read(own_arguments()).map_err(Usage)?.other(&[&AGENT]) {
        Some(other) => Err(Usage(format!("cannot combine {other} and --agent: the host with --agents chooses it"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn controller(line: &str) -> Result<Vec<String>, String> {
        travelling(line.split_whitespace().map(OsString::from))
    }

    fn agent(line: &str) -> Result<Vec<String>, String> {
        allowed(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_the_connections_do_travels_and_the_rest_stays() {
        let line = "ws://a/ -c 10k --echo --header A:b=c --header=D:--json --json x --quiet --message hello \
                    --agents h:1,h:2 --token secret --processes 3 --expect errors=0 ws://b/ --pipeline 4 --pid 7";
        let sent = controller(line).expect("it is allowed");
        let expected = [
            "--connections=10k",
            "--echo",
            "--depth=4",
            "--header=A:b=c",
            "--header=D:--json",
            "--",
            "ws://a/",
            "ws://b/",
        ];
        assert_eq!(sent, expected);
        assert_eq!(allowed(&sent).expect("it is allowed"), expected, "the agent writes the same");
    }

    #[test]
    fn an_agent_refuses_what_reads_or_writes_its_files_or_chooses_processes() {
        for option in [
            "--json /tmp/x",
            "--csv=/tmp/x",
            "--html -",
            "--pid 1",
            "--processes 9",
            "--worker 0/1",
            "--worker=0/1",
            "--agents a:1",
            "--token secret",
            "--message /etc/passwd",
            "--message=x",
            "--quiet",
            "-q",
            "--expect p99<1s",
            "--source-ip 127.0.0.2",
            "-qc5",
        ] {
            assert!(agent(&format!("ws://a/ {option}")).is_err_and(|why| why.contains("may choose")), "{option}");
        }
        assert!(agent("--agent 0.0.0.0:7000").is_err_and(|why| why.contains("--agent is no option")));
        for unreadable in ["", "--help", "-h", "--no-such-option ws://a/", "ws://a/ --size", "ws://a/ --js x"] {
            assert!(agent(unreadable).is_err(), "{unreadable:?}");
        }
        // After "--", all are URLs, and a worker refuses those that are none.
        assert_eq!(agent("ws://a/ -- --json").expect("URLs"), ["--", "ws://a/", "--json"]);
        assert!(controller("ws://a/ --agents a:1 --source-ip 127.0.0.2").is_err_and(|why| why.contains("--source-ip")));
    }

    #[test]
    fn only_listed_options_have_files() {
        let file = |option: &str| SentFile { option: option.to_owned(), content: String::new() };
        for option in ["message", "data", "scenario"] {
            assert_eq!(allowed_file(&file(option)), Ok(option));
        }
        for option in ["json", "key", "", "message=x", "--message", "worker"] {
            assert!(allowed_file(&file(option)).is_err(), "{option:?}");
        }
    }

    /// A new option goes to the agents (TRAVEL), sends them a file (FILES), or stays (STAY). Or it
    /// cannot be combined with --agents.
    #[test]
    fn each_option_is_on_one_list() {
        let lists = [&TRAVEL[..], &FILES, &STAY, &["source_ip", "unix", "agent", "worker"]].concat();
        let options: Vec<String> = parser().get_arguments().map(|option| option.get_id().to_string()).collect();
        let (known, listed) = (options.iter().map(String::as_str).collect(), lists.iter().copied().collect());
        assert_eq!(BTreeSet::difference(&known, &listed).collect::<Vec<_>>(), Vec::<&&str>::new(), "on no list");
        assert_eq!(BTreeSet::difference(&listed, &known).collect::<Vec<_>>(), Vec::<&&str>::new(), "gone");
        assert_eq!(lists.len(), listed.len(), "on two lists");
    }
}
