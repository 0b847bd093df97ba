//! Is the header that of the sources?

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn header() -> String {
    std::fs::read_to_string(Path::new(FOLDER).join("include/lariat.h")).unwrap()
}

/// Returns the names of the functions that the library exports.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(Path::new(FOLDER).join("src")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let exports = source.split("#[unsafe(no_mangle)]\npub ").skip(1);
        names.extend(exports.map(|rest| {
            let rest = rest.split_once("fn ").unwrap().1;
            rest[..rest.find(['(', '<']).unwrap()].to_owned()
        }));
    }
    names
}

#[test]
fn the_header_declares_each_exported_function() {
    let (header, exported) = (header(), exported());
    assert!(exported.len() > 30);
    for name in &exported {
        assert!(header.contains(&format!("{name}(")), "{name} is not in the header: see cbindgen.toml");
    }
}

/// The gate sets LARIAT_CBINDGEN to the program. Without it, this test passes where there is none.
#[test]
fn the_header_is_what_cbindgen_writes() {
    let program = std::env::var("LARIAT_CBINDGEN").unwrap_or_else(|_| "cbindgen".to_owned());
    let mut run = Command::new(&program);
    run.args(["--config", "cbindgen.toml", "--crate", "lariat-capi"]).current_dir(FOLDER);
    let written = match run.output() {
        Ok(written) => written,
        Err(error) => {
            assert!(std::env::var_os("LARIAT_CBINDGEN").is_none(), "cannot run {program}: {error}");
            eprintln!("not run: there is no cbindgen");
            return;
        }
    };
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert!(String::from_utf8_lossy(&written.stdout) == header(), "make it anew: see cbindgen.toml");
}
