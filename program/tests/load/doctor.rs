//! `lariat doctor`, and wrong usage.

use crate::common::program::{assert_failed, assert_fails, lariat};
use serde_json::Value;

fn doctor(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = lariat(&[&["doctor", "--json"], arguments].concat()).output().expect("the program runs");
    (serde_json::from_slice(&output.stdout).expect("JSON"), output.status.code())
}

#[test]
fn one_connection_fits_and_a_billion_do_not() {
    let (report, code) = doctor(&["1"]);
    assert_eq!((&report["fits"], &report["schema"], code), (&true.into(), &1.into(), Some(0)));
    let (report, code) = doctor(&["1000000000", "--server"]);
    assert_eq!((&report["fits"], code), (&false.into(), Some(1)));
    let first = &report["findings"][0];
    assert_eq!(first["verdict"], "stops");
    assert_eq!(first["connections"], report["most"], "the first finding is the lowest limit");
    assert!(first["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
    assert_eq!(doctor(&["1,000,000"]).0["connections"], 1_000_000);
    assert_eq!(doctor(&["10k"]).0["connections"], 10_000);
    let (report, code) = doctor(&["--client"]);
    assert_eq!((&report["fits"], code), (&Value::Null, Some(0)));
}

#[test]
fn the_descriptor_limit_is_the_one_that_the_process_has() {
    let script = "ulimit -n 500; exec \"$0\" doctor 485 --server";
    let output = std::process::Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_lariat")]).output();
    let output = output.expect("sh");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("STOPS") && text.contains("484") && text.contains("ulimit -Hn 501"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = lariat(&["doctor", "1"]).stdout(full).stderr(std::process::Stdio::piped()).output();
    assert_failed(&output.expect("the program runs"), 1, &["cannot write to standard output"]);
}

#[test]
fn wrong_usage_is_explained_and_ends_with_2() {
    for (arguments, sentence) in [
        (&["load"][..], "required"),
        (&["load", "wss://no-such-host.invalid/"], "has no address"),
        (&["load", "http://127.0.0.1/"], "ws://host:port/path"),
        (&["load", "ws://127.0.0.1:1/", "--header", "Host: x"], "a header of the handshake itself cannot be set"),
        (&["load", "ws://127.0.0.1:1/", "--subprotocol", "a b"], "subprotocols must be distinct tokens"),
        (&["load", "ws://127.0.0.1:1/", "--expect", "speed>3"], "is not known"),
        (&["load", "ws://127.0.0.1:1/", "--header", "NoColon"], "Name: value"),
        (&["load", "ws://127.0.0.1:1/", "--echo", "--message", "./no/such/file"], "./no/such/file"),
        (&["load", "ws://127.0.0.1:1/", "--echo", "--size", "1GiB", "-c", "10k"], "memory are available"),
        (&["load", "ws://user:secret@127.0.0.1:1/"], "Authorization"),
        (&["load", "ws://127.0.0.1:1/", "-c", "10q"], "10,000 or 10k"),
        (&["load", "ws://127.0.0.1:1/", "-c", "0"], "0 is not in"),
        (&["load", "ws://127.0.0.1:1/", "-c", "99M"], "99M is not in"),
        (&["doctor", "0"], "0 is not in"),
        (&["doctor", "1,0"], "10,000 or 10k"),
    ] {
        assert_fails(arguments, 2, &[sentence]);
    }
}
