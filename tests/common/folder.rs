//! Files of a test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that only one test uses. It is removed with all its files when this value is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lariat-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        // A test that was killed had the number of this process.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).expect("a new folder");
        Folder(folder)
    }

    /// Returns the path of a file in it. With an empty name, that of the folder itself.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// [`path`](Self::path), as an argument of a program.
    pub fn argument(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The test has ended already.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
