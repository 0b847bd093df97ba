//! The limit of open files of this process.

/// Raises the soft limit of open files to the hard limit. Each connection needs a descriptor, and
/// the soft limit is mostly far below the hard limit.
pub(crate) fn raise_descriptor_limit() {
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(rlimit::INFINITY) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
}
