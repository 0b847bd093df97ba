//! The request of the opening handshake, as options describe it.

use crate::terminal::Usage;
use lariat::ConnectOptions;
use lariat::http::{HeaderName, HeaderValue};

// Documentation here would replace that of the commands in --help.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RequestOptions {
    /// Offer this subprotocol. May be repeated; the first is preferred
    #[arg(long, short = 's', value_name = "NAME", help_heading = "Handshake")]
    pub(crate) subprotocol: Vec<String>,
    /// Send this header, "Name: value". May be repeated
    #[arg(long, short = 'H', value_name = "HEADER", help_heading = "Handshake")]
    pub(crate) header: Vec<String>,
    /// Send this Origin
    #[arg(long, short = 'o', value_name = "ORIGIN", help_heading = "Handshake")]
    pub(crate) origin: Option<String>,
    /// Offer compression
    #[arg(long, help_heading = "Handshake")]
    pub(crate) deflate: bool,
}

impl RequestOptions {
    /// Returns the options of the library.
    pub(crate) fn options(&self) -> Result<ConnectOptions, Usage> {
        let mut built = ConnectOptions::new();
        if !self.deflate {
            built = built.uncompressed();
        }
        for name in &self.subprotocol {
            built = built.subprotocol(name);
        }
        let origin = self.origin.iter().map(|origin| ("Origin", origin.as_str()));
        let wrong = |header: &str| Usage(format!("{header:?} is not a header: write --header \"Name: value\""));
        let headers = self.header.iter().map(|header| header.split_once(':').ok_or_else(|| wrong(header)));
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
    use super::RequestOptions;

    #[test]
    fn headers_are_parsed_and_the_origin_is_one() {
        let header = ["Cookie: a=b:c", "X-Empty:"].map(str::to_owned).to_vec();
        let origin = Some("http://localhost".to_owned());
        let request = RequestOptions { header, origin, ..RequestOptions::default() };
        let options = request.options().expect("they are right");
        let value = |name: &str| options.headers.get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        assert_eq!(
            ["cookie", "x-empty", "origin"].map(value),
            [Some("a=b:c"), Some(""), Some("http://localhost")].map(|value| value.map(str::to_owned))
        );
        for bad in ["no colon", ": x", "a b: c", "a: b\r\nc: d"] {
            let request = RequestOptions { header: vec![bad.to_owned()], ..RequestOptions::default() };
            assert!(request.options().is_err(), "{bad:?}");
        }
    }
}
