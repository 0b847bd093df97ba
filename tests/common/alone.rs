//! Tests in processes of their own.

use std::process::Command;

const ALONE: &str = "LARIAT_TEST_ALONE";

/// Makes the call in a process of its own, which runs this test only. `test` is its full name.
/// Returns what it has printed.
pub fn alone(test: &str, call: impl FnOnce()) -> String {
    if std::env::var_os(ALONE).is_some() {
        call();
        return String::new();
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, "").output().expect("it starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("running 1 test"), "{test} is not the name of this test:\n{said}");
    assert!(output.status.success(), "{test} has failed:\n{said}");
    said
}
