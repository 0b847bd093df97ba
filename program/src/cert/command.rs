//! `lariat cert`: its options, its output and its exit code.

use super::advice::{Shown, trust};
use super::authority::{Authority, Subject};
use super::dates::now;
use super::files::{Content, Place, read, write};
use super::names::{self, Name};
use crate::terminal::{Failure, plain, print};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use time::OffsetDateTime;

/// The files of the CA, and the endings of those that belong to a certificate.
const CA: &str = "lariat-ca.pem";
const CA_KEY: &str = "lariat-ca-key.pem";

/// Write a certificate for development, and the CA that signs it, as PEM files.
///
/// Browsers and other clients that trust the CA accept the certificate. A CA that is in the folder
/// already signs again, so that clients need to trust it only once. A certificate that is there is
/// replaced.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Whom the certificate is for: names like app.example or *.app.example, and IP addresses
    #[arg(value_name = "NAMES", value_parser = names::name, default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<Name>,
    /// The folder of the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write a certificate for the client of this name, instead of one for a server
    #[arg(long, value_name = "NAME", value_parser = names::client, conflicts_with = "names")]
    client: Option<String>,
}

/// Runs `lariat cert`.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (dir, now) = (&*options.dir, now());
    if !dir.is_dir() {
        let problem = "is not a folder. Create it with mkdir, or choose another one with --dir";
        return Err(Failure(format!("{} {problem}", dir.display())));
    }
    let (authority, is_new) = authority(dir, now)?;
    let mut unique: Vec<Name> = Vec::new();
    for name in &options.names {
        if !unique.contains(name) {
            unique.push(name.clone());
        }
    }
    let (subject, name, key, whom) = match &options.client {
        Some(client) => (Subject::Client(client), "lariat-client.pem", "lariat-client-key.pem", client.clone()),
        None => {
            let whom = unique.iter().map(Name::to_string).collect::<Vec<_>>().join(", ");
            (Subject::Server(&unique), "lariat-cert.pem", "lariat-key.pem", whom)
        }
    };
    let issued = authority.issue(subject, now)?;
    let contents = [
        Content { name: key, text: &issued.key, is_secret: true },
        Content { name, text: &issued.chain, is_secret: false },
    ];
    write(dir, &contents, Place::Any)?;

    let shown = |name| Shown(dir, name);
    let ca = if is_new { "wrote" } else { "used " };
    let mut text = format!(
        "{ca} {}, {}: the CA, until {}\n{ca} {}: its key. Whoever has it can pose as any site to those who trust the CA\n",
        shown(CA),
        authority.name,
        authority.expires.date(),
        shown(CA_KEY),
    );
    text += &format!("wrote {}: the certificate for {whom}, until {}\n", shown(name), issued.expires.date());
    text += &format!("wrote {}: its key\n\n", shown(key));
    if options.client.is_none() {
        let (name, key) = (shown(name), shown(key));
        text += &format!("Start the server:\n  lariat serve --tls-cert {name} --tls-key {key}\n\n");
    } else {
        let (ca, name, key) = (shown(CA), shown(name), shown(key));
        text +=
            &format!("Show it to a server that asks for it:\n  curl --cacert {ca} --cert {name} --key {key} URL\n\n");
    }
    print(&plain(&(text + &trust(&shown(CA), &authority.name))))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the CA of the folder, and whether it is new.
fn authority(dir: &Path, now: OffsetDateTime) -> Result<(Authority, bool), Failure> {
    let (path, key_path) = (dir.join(CA), dir.join(CA_KEY));
    let advice = "Move it away to get a new CA, or choose another folder with --dir";
    let alone = |there: &Path, missing: &str| {
        Failure(format!("{} is there, but {missing} is not, and a CA needs both. {advice}", there.display()))
    };
    match (read(&path)?, read(&key_path)?) {
        (Some(certificate), Some(key)) => {
            let failed =
                |reason| Failure(format!("cannot use the CA in {} and {CA_KEY}: {reason}. {advice}", path.display()));
            Ok((Authority::read(&certificate, &key, now).map_err(failed)?, false))
        }
        (Some(_), None) => Err(alone(&path, CA_KEY)),
        (None, Some(_)) => Err(alone(&key_path, CA)),
        (None, None) => {
            let (authority, key) = Authority::create(now)?;
            let contents = [
                Content { name: CA_KEY, text: &key, is_secret: true },
                Content { name: CA, text: &authority.certificate, is_secret: false },
            ];
            write(dir, &contents, Place::Free)?;
            Ok((authority, true))
        }
    }
}
