//! A private folder for the files of a run, which goes away with it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

/// A folder that only its owner may read.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Creates a folder among the temporary files of the host.
    pub(super) fn create() -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("lariat-agent-{:032x}", rand::random::<u128>()));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // If there is one already, somebody else has made it.
        builder.create(&path)?;
        Ok(Folder(path))
    }

    /// Writes a file. Its name is a number, so that no name comes from another host.
    pub(super) fn write(&self, number: usize, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.0.join(number.to_string());
        OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(content)?;
        Ok(path)
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_away() {
        let folder = Folder::create().expect("a folder");
        let path = folder.path().to_owned();
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("it is there").permissions()) & 0o777,
            0o700
        );
        let file = folder.write(0, b"content").expect("a file");
        assert_eq!(fs::read(&file).expect("it is there"), b"content");
        assert!(folder.write(0, b"other").is_err(), "there is one already");
        drop(folder);
        assert!(!path.exists());
    }
}
