//! Do the hosts in C and Python work?

use crate::host::{connect, next, text};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use tungstenite::{Error, Message};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the library that was built with this test.
fn library(extension: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("liblariat_c") && path.extension().is_some_and(|found| found == extension)
    };
    let newest = files.filter(is_ours).max_by_key(|path| path.metadata().and_then(|data| data.modified()).unwrap());
    newest.unwrap_or_else(|| panic!("no library in {}", folder.display()))
}

/// Compiles an example, once for all tests. The gate does so with other compilers as well, and with
/// the examples that need libuv and GLib: `.ci/clients/capi.py`.
fn compile(name: &str) -> PathBuf {
    static COMPILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let program = std::env::current_exe().unwrap().with_file_name(format!("capi-{name}"));
    let mut compiled = COMPILED.lock().unwrap();
    if compiled.insert(program.clone()) {
        // Another run of these tests may execute the old file.
        let new = program.with_extension(std::process::id().to_string());
        compile_to(&new, name);
        std::fs::rename(new, &program).unwrap();
    }
    program
}

fn compile_to(program: &Path, name: &str) {
    let folder = Path::new(FOLDER);
    let mut command = Command::new("cc");
    command.args(["-std=gnu99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]).arg(program);
    command.arg("-I").arg(folder.join("include")).arg(folder.join("examples").join(name).with_extension("c"));
    command.arg(library("a")).args(["-lpthread", "-ldl", "-lm"]);
    let outcome = command.output().expect("a C compiler");
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
}

/// A host that runs, killed at the end.
struct Running {
    child: Child,
    address: String,
    input: Option<ChildStdin>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        let input = child.stdin.take();
        Running { child, address, input }
    }

    fn signal(&self, name: &str) {
        let killed = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn check_echo(host: &Running) {
    let mut socket = connect(&host.address, "/", None).unwrap();
    let (long, bytes) = ("é".repeat(60_000), vec![0, 255, 0]);
    for message in [Message::text("hello"), Message::text(""), Message::text(long), Message::binary(bytes)] {
        socket.send(message.clone()).unwrap();
        assert_eq!(next(&mut socket), message);
    }
}

#[test]
fn the_echo_in_c_answers_and_stops_at_a_signal() {
    let mut host = Running::start(Command::new(compile("echo")).arg("127.0.0.1:0"));
    check_echo(&host);
    let mut waiting = connect(&host.address, "/", None).unwrap();
    host.signal("TERM");
    match next(&mut waiting) {
        Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 1001),
        other => panic!("{other}"),
    }
    let _ = waiting.flush();
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn the_echo_in_c_says_what_is_wrong() {
    let outcome = Command::new(compile("echo")).arg("256.0.0.1:x").output().unwrap();
    assert_eq!(outcome.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&outcome.stderr).starts_with("echo: cannot listen: "), "{outcome:?}");
}

#[test]
fn the_chat_in_c_has_rooms_and_refuses_others() {
    use std::io::Write;
    let mut host = Running::start(Command::new(compile("chat")).arg("127.0.0.1:0"));
    let join = |room| connect(&host.address, room, Some("other, chat")).unwrap();
    let (mut ann, mut bob) = (join("/tea"), join("/tea"));
    assert!(text(&mut ann).ends_with(" has come"));
    let mut eve = join("/coffee");
    bob.send(Message::text("a cup?")).unwrap();
    assert!(text(&mut ann).ends_with(" a cup?"));
    writeln!(host.input.as_mut().unwrap(), "to all").unwrap();
    for socket in [&mut ann, &mut bob, &mut eve] {
        assert_eq!(text(socket), "to all\n");
    }
    match connect(&host.address, "/tea", None).unwrap_err() {
        Error::Http(response) => {
            assert_eq!(response.status(), 400);
            assert!(response.body().as_deref().unwrap_or_default().starts_with(b"Offer"));
        }
        other => panic!("{other}"),
    }
    bob.send(Message::binary(vec![1])).unwrap();
    match next(&mut bob) {
        Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 1003),
        other => panic!("{other}"),
    }
    let _ = bob.flush();
    assert!(text(&mut ann).ends_with(" has gone"));
    // The end of its input stops it.
    host.input = None;
    drop((ann, eve));
    assert!(host.child.wait().unwrap().success());
}

#[test]
#[cfg(target_os = "linux")]
fn the_status_page_in_c_is_served_and_pushes_counters() {
    use std::io::{Read, Write};
    let mut host = Running::start(Command::new(compile("status")).arg("127.0.0.1:0"));
    let get = |path: &str, more: &str| {
        let mut stream = std::net::TcpStream::connect(&host.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", host.address).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    let page = get("/", "");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("text/html"), "{page}");
    assert!(page.ends_with("</script>\n"), "{page}");
    assert!(get("/other", "").starts_with("HTTP/1.1 404"));
    assert!(get("/", "Origin: http://elsewhere\r\n").starts_with("HTTP/1.1 403"));
    let mut socket = connect(&host.address, "/counters", None).unwrap();
    for _ in 0..2 {
        let json = text(&mut socket);
        assert!(json.starts_with("[{\"name\":\"") && json.ends_with("}]"), "{json}");
    }
    drop(socket);
    host.signal("INT");
    assert!(host.child.wait().unwrap().success());
}

#[test]
fn the_host_in_python_answers() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("not run: there is no Python");
        return;
    }
    let example = Path::new(FOLDER).join("examples/echo.py");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let lines = std::fs::read_to_string(&example).unwrap().lines().filter(is_code).count();
    assert!(lines <= 22, "{lines} lines");
    let host = Running::start(Command::new("python3").arg(example).arg(library("so")).arg("127.0.0.1:0"));
    check_echo(&host);
}

#[test]
fn each_function_of_the_header_refuses_what_it_must() {
    let mut program = Command::new("python3");
    program.arg(Path::new(FOLDER).join("tests/every_function.py"));
    match program.arg(library("so")).arg(Path::new(FOLDER).join("include/lariat.h")).output() {
        Ok(outcome) => assert!(outcome.status.success(), "{outcome:?}"),
        Err(_) => eprintln!("not run: there is no Python"),
    }
}
