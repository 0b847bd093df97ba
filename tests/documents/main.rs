//! Checks the documents: their length, the width of prose, links and paths, and figures against the
//! code. `program/tests/documents.rs` checks the options of the program.

mod figures;
mod lines;
mod names;
mod width;

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns all files of the repository with one of these extensions, by their paths from its root.
fn files(extensions: &[&str]) -> Vec<String> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        let is_built = folder.join("CACHEDIR.TAG").exists() || folder.join("pyvenv.cfg").exists();
        for entry in std::fs::read_dir(folder).expect("a folder").filter(|_| !is_built) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let is_ours = !name.starts_with('.') || name == ".ci";
            if path.is_dir() && is_ours && !matches!(&*name, "target" | "node_modules" | "corpus" | "artifacts") {
                walk(&path, into);
            } else if path.is_file() {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    let relative =
        |path: &PathBuf| path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    let mut found: Vec<String> = found.iter().map(relative).filter(|path| extensions.contains(&kind(path))).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Returns the extension, or `sh` for the shell files of the gate, which have none.
fn kind(path: &str) -> &str {
    match path {
        ".ci/run" | ".ci/fuzz" => "sh",
        _ => path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, kind)| kind),
    }
}

fn markdown() -> Vec<(String, String)> {
    // The guide has rustdoc's links, which `tests/guide.rs` checks.
    let paths = files(&["md"]).into_iter().filter(|path| !path.starts_with("src/guide/"));
    paths.map(|path| (path.clone(), read(&path))).collect()
}
