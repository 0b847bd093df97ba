//! The URL of a server.

use crate::terminal::Usage;
use lariat::http::Uri;

/// Returns what is wrong with a text that is not the URL of a WebSocket server.
pub(crate) fn not_a_url(url: &str) -> Usage {
    Usage(format!("{url:?} is not the URL of a WebSocket server: write ws://host:port/path or wss://host/path"))
}

/// Parses the URL of a WebSocket server.
pub(crate) fn parse_url(url: &str) -> Result<Uri, Usage> {
    // A password would be shown on the screen and in reports.
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    if let Some((_, host)) = authority.rsplit_once('@') {
        return Err(Usage(format!(
            "the URL of {host} has a name or a password, which is not sent: leave it out, and write --header \"Authorization: Basic ...\""
        )));
    }
    if url.contains('#') {
        return Err(Usage(format!("{url:?} has a fragment: the URL of a WebSocket server ends before \"#\"")));
    }
    let uri: Uri = url.parse().map_err(|_| not_a_url(url))?;
    match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
        Some("ws" | "wss") if uri.host().is_some() => Ok(uri),
        _ => Err(not_a_url(url)),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_url;
    use crate::terminal::Usage;

    #[test]
    fn what_is_not_a_url_is_explained_without_its_password() {
        for (url, says) in [
            ("localhost:80", "write ws://host:port/path"),
            ("http://localhost/", "write ws://host:port/path"),
            ("", "write ws://host:port/path"),
            ("ws://me:secret@localhost/", "the URL of localhost has a name or a password"),
            ("ws://localhost/#part", "has a fragment"),
        ] {
            let Err(Usage(sentence)) = parse_url(url) else { panic!("{url} is taken") };
            assert!(sentence.contains(says) && !sentence.contains("secret"), "{url}: {sentence}");
        }
        assert!(parse_url("WSS://[::1]:1/a?b").is_ok());
    }
}
