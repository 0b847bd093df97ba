//! What the user does with the files.

use std::fmt;
use std::path::Path;

/// The path of a file in a folder, as a shell reads it.
pub(super) struct Shown<'a>(pub(super) &'a Path, pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.0 == Path::new(".") { Path::new(self.1).to_owned() } else { self.0.join(self.1) };
        let text = path.to_string_lossy();
        // A path must not look like an option.
        let start = if text.starts_with('-') { "./" } else { "" };
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ':' | '@' | ',');
        if text.chars().all(is_plain) {
            write!(f, "{start}{text}")
        } else {
            write!(f, "'{start}{}'", text.replace('\'', r"'\''"))
        }
    }
}

/// Returns how clients are told to trust the CA.
pub(super) fn trust(ca: &Shown<'_>, name: &str) -> String {
    format!(
        r#"Trust the CA, once on each machine and only where you develop:
  Chromium on Linux  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n "{name}" -i {ca}
  Firefox            certutil -d sql:PROFILE -A -t C,, -n "{name}" -i {ca}
                     (about:profiles shows PROFILE; certutil is in libnss3-tools or nss-tools)
  Debian, Ubuntu     sudo cp {ca} /usr/local/share/ca-certificates/lariat-ca.crt && sudo update-ca-certificates
  macOS              security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {ca}
  curl               curl --cacert {ca} https://localhost:9998/
  Node               NODE_EXTRA_CA_CERTS={ca} node client.mjs
  Python             ssl.create_default_context(cafile="{file}")
"#,
        file = ca.0.join(ca.1).display().to_string().trim_start_matches("./").escape_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_path_as_it_is() {
        for (folder, shown) in [
            (".", "ca.pem"),
            ("certs/dev", "certs/dev/ca.pem"),
            ("/srv/größe", "/srv/größe/ca.pem"),
            ("my certs", "'my certs/ca.pem'"),
            ("it's", r"'it'\''s/ca.pem'"),
            ("$(id)", "'$(id)/ca.pem'"),
            ("-x", "./-x/ca.pem"),
            ("-x y", "'./-x y/ca.pem'"),
        ] {
            assert_eq!(Shown(Path::new(folder), "ca.pem").to_string(), shown);
        }
    }
}
