//! `lariat completions` and `lariat man`.
#![cfg(unix)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const COMMANDS: [&str; 7] = ["serve", "connect", "load", "doctor", "cert", "completions", "man"];

fn lariat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lariat")).args(arguments).output().expect("the program runs")
}

#[test]
fn completions_name_every_command_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = lariat(&["completions", shell]);
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        for name in COMMANDS {
            assert!(script.contains(name), "{name} is missing for {shell}");
        }
        assert!(script.contains("subprotocol") && !script.contains("worker"), "{shell}");
    }
    assert_eq!(lariat(&["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn bash_accepts_its_script_and_completes_with_it() {
    let script = lariat(&["completions", "bash"]).stdout;
    let bash = |arguments: &[&str], more: &str| {
        let mut command = Command::new("bash");
        let piped = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("bash");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(&script).and_then(|()| stdin.write_all(more.as_bytes())).expect("it reads");
        drop(stdin);
        child.wait_with_output().expect("it is our child")
    };
    let checked = bash(&["-n"], "");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let typed = "COMP_WORDS=(lariat con); COMP_CWORD=1\n_lariat lariat con lariat\necho \"${COMPREPLY[@]}\"\n";
    let completed = bash(&["--norc"], typed);
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "connect", "{completed:?}");
}

#[test]
fn pages_exist_for_every_command_without_hidden_options() {
    let output = lariat(&["man"]);
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && page.contains(".TH lariat 1"), "{page}");
    for name in COMMANDS {
        assert!(page.contains(&format!("lariat\\-{name}(1)")), "{name} is missing: {page}");
    }
    let folder = std::env::temp_dir().join(format!("lariat-man-{}", std::process::id()));
    let folder_name = folder.display().to_string();
    assert!(lariat(&["man", &folder_name]).status.success());
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let mut expected: Vec<String> = COMMANDS.iter().map(|name| format!("lariat-{name}.1")).collect();
    expected.extend(["lariat.1", "lariat-load-merge.1", "lariat-load-diff.1"].map(str::to_owned));
    expected.sort_unstable();
    assert_eq!(names, expected);
    let load = std::fs::read_to_string(folder.join("lariat-load.1")).expect("a page");
    assert!(load.contains("\\-\\-churn") && !load.contains("\\-\\-worker"), "{load}");
    let refused = lariat(&["man", &folder.join("lariat.1").display().to_string()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write manual pages into "), "{refused:?}");
    std::fs::remove_dir_all(&folder).expect("our own folder");
}
