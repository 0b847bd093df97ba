//! Files that are written whole, or not at all.

use crate::terminal::Failure;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What is to be written.
pub(super) struct Content<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// Whether only its owner may read it.
    pub(super) is_secret: bool,
}

/// Whether a file may take the place of another one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// There must be none.
    Free,
    Any,
}

/// Writes files that belong together. All of them are complete on the disk before the first one
/// gets its name.
pub(super) fn write(folder: &Path, contents: &[Content<'_>], place: Place) -> Result<(), Failure> {
    let drafts: Result<Vec<Draft>, Failure> = contents.iter().map(|content| Draft::write(folder, content)).collect();
    drafts?.iter().try_for_each(|draft| draft.publish(place))
}

/// Reads a file of text. Returns `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure(format!(
            "cannot read {}: {error}. Make it readable, or choose another folder with --dir",
            path.display()
        ))),
    }
}

/// A file under a temporary name, which goes away with this value.
struct Draft {
    path: PathBuf,
    temporary: PathBuf,
}

impl Draft {
    fn write(folder: &Path, content: &Content<'_>) -> Result<Draft, Failure> {
        let temporary = folder.join(format!(".{}.{:08x}", content.name, rand::random::<u32>()));
        let path = folder.join(content.name);
        let mut file = create(&temporary, content.is_secret).map_err(|error| unwritten(&path, &error))?;
        let draft = Draft { path, temporary };
        let written = file.write_all(content.text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| unwritten(&draft.path, &error))?;
        Ok(draft)
    }

    /// Gives the file its name.
    fn publish(&self, place: Place) -> Result<(), Failure> {
        let outcome = match place {
            Place::Any => fs::rename(&self.temporary, &self.path),
            // Unlike a rename, a link replaces nothing. Some file systems have no links.
            Place::Free => match fs::hard_link(&self.temporary, &self.path) {
                Err(_) if fs::symlink_metadata(&self.path).is_err() => fs::rename(&self.temporary, &self.path),
                outcome => outcome,
            },
        };
        outcome.map_err(|error| unwritten(&self.path, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename it has gone already.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn create(path: &Path, is_secret: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = is_secret;
    options.open(path)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure(format!("cannot write {}: {error}. Choose another folder with --dir", path.display()))
}
