//! The request of the opening handshake, as options describe it.

use crate::terminal::Usage;
use lariat::ConnectOptions;
use lariat::http::{HeaderName, HeaderValue};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking<'a> {
    pub(crate) subprotocols: &'a [String],
    /// Each as `Name: value`.
    pub(crate) headers: &'a [String],
    pub(crate) origin: Option<&'a str>,
    pub(crate) deflate: bool,
}

impl Asking<'_> {
    /// Returns the options of the library.
    pub(crate) fn options(&self) -> Result<ConnectOptions, Usage> {
        let mut built = ConnectOptions::new();
        if !self.deflate {
            built = built.uncompressed();
        }
        for name in self.subprotocols {
            built = built.subprotocol(name);
        }
        let origin = self.origin.iter().map(|origin| ("Origin", *origin));
        let wrong = |header: &str| Usage(format!("{header:?} is not a header: write --header \"Name: value\""));
        let headers = self.headers.iter().map(|header| header.split_once(':').ok_or_else(|| wrong(header)));
        for header in headers.chain(origin.map(Ok)) {
            let (name, value) = header?;
            let wrong = || wrong(&format!("{name}:{value}"));
            let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
            built = built.header(name, value);
        }
        Ok(built)
    }
}

#[cfg(test)]
mod tests {
    use super::Asking;

    #[test]
    fn headers_are_parsed_and_the_origin_is_one() {
        let headers = ["Cookie: a=b:c".to_owned(), "X-Empty:".to_owned()];
        let asking = Asking { headers: &headers, origin: Some("http://localhost"), ..Asking::default() };
        let options = asking.options().expect("they are right");
        let value = |name: &str| options.headers.get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        assert_eq!(
            ["cookie", "x-empty", "origin"].map(value),
            [Some("a=b:c"), Some(""), Some("http://localhost")].map(|value| value.map(str::to_owned))
        );
        for bad in ["no colon", ": x", "a b: c", "a: b\r\nc: d"] {
            let headers = [bad.to_owned()];
            assert!(Asking { headers: &headers, ..Asking::default() }.options().is_err(), "{bad:?}");
        }
    }
}
