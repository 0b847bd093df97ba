//! Which option names a file that TLS cannot use.

use lariat::tls::TlsSetupError;
use std::path::Path;

/// Returns the problem with the options that name its file.
pub(crate) fn tls_problem<'p>(
    error: &TlsSetupError,
    options: impl IntoIterator<Item = (&'static str, &'p Path)>,
) -> String {
    let mut named: Vec<&str> = Vec::new();
    for (option, path) in options {
        if Some(path) == error.file() && !named.contains(&option) {
            named.push(option);
        }
    }
    match named.is_empty() {
        true => format!("cannot use TLS: {error}"),
        // The text begins with the path.
        false => format!("cannot use {} {error}", named.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::tls_problem;
    use lariat::tls::{ServerTls, TlsFiles};
    use std::path::Path;

    #[test]
    fn the_option_is_named() {
        let (cert, key) = (Path::new("gone.pem"), Path::new("gone-key.pem"));
        let error = ServerTls::from_files(&TlsFiles::new(cert, key)).expect_err("there is none");
        let problem = |options: &[(&'static str, &'static str)]| {
            tls_problem(&error, options.iter().map(|(option, path)| (*option, Path::new(path))))
        };
        let says = "gone.pem: there is no such file";
        assert_eq!(problem(&[("--key", "gone-key.pem"), ("--cert", "gone.pem")]), format!("cannot use --cert {says}"));
        let both = [("--cert", "gone.pem"), ("--cert", "gone.pem"), ("--key", "gone.pem")];
        assert_eq!(problem(&both), format!("cannot use --cert and --key {says}"));
        assert_eq!(problem(&[]), format!("cannot use TLS: {says}"));
    }
}
