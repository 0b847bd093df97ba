//! What a query and cookies say, decoded. With the feature `urlencoded` only.

use super::request::Request;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

impl<'b> Request<'b> {
    /// Returns the names and values of the query, decoded as `application/x-www-form-urlencoded`
    /// ([URL Standard §5.1](https://url.spec.whatwg.org/#urlencoded-parsing)), in their order. That
    /// is what forms and `URLSearchParams` write: `+` and `%20` are spaces. A name may come more
    /// than once. Needs the feature `urlencoded`.
    ///
    /// No query is an error. A part without `=` is a name with an empty value, and an empty part is
    /// skipped. A malformed escape, such as `%zz`, stays as it is. Bytes that are not UTF-8 become
    /// U+FFFD. [`query`](Self::query) has the text as it was sent.
    ///
    /// ```
    /// # use lariat::Request;
    /// let head = b"GET /chat?room=caf%C3%A9&name=Ada+L.&name HTTP/1.1\r\nHost: a\r\n\r\n";
    /// let request = Request::parse(head).expect("a valid request");
    /// let pairs: Vec<_> = request.query_pairs().collect();
    /// let [room, name, empty] = &pairs[..] else { panic!("three pairs") };
    /// assert_eq!((&*room.0, &*room.1), ("room", "café"));
    /// assert_eq!((&*name.0, &*name.1), ("name", "Ada L."));
    /// assert_eq!((&*empty.0, &*empty.1), ("name", ""));
    /// assert_eq!(request.query_value("name").as_deref(), Some("Ada L."));
    /// ```
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'b, str>, Cow<'b, str>)> + use<'b> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// Returns the first value of this name in the query, decoded as by
    /// [`query_pairs`](Self::query_pairs). The letter case of the name matters. `None` if the query
    /// does not have the name. Needs the feature `urlencoded`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'b, str>> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns the names and values of the [`cookies`](Self::cookies), decoded, in their order. A
    /// value loses the quotation marks around it (RFC 6265 §4.1.1). Its percent-encoding is decoded
    /// (RFC 3986 §2.1). RFC 6265 knows no encoding, but scripts and most frameworks use this one,
    /// because a value may have no space, comma, semicolon or backslash. `+` is a plus. Needs the
    /// feature `urlencoded`.
    ///
    /// No cookie is an error. Use [`cookies`](Self::cookies) for values that are not
    /// percent-encoded: `%41` would become `A`. A malformed escape stays as it is, and bytes that
    /// are not UTF-8 become U+FFFD. A name is not decoded, so that `__Host%2Did` cannot pass for
    /// `__Host-id`.
    ///
    /// ```
    /// # use lariat::Request;
    /// let head = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: id=\"7f+\"; theme=dark%20blue\r\n\r\n";
    /// let request = Request::parse(head).expect("a valid request");
    /// let pairs: Vec<_> = request.cookie_pairs().collect();
    /// assert_eq!(pairs, [("id", "7f+".into()), ("theme", "dark blue".into())]);
    /// assert_eq!(request.cookie_value("theme").as_deref(), Some("dark blue"));
    /// ```
    pub fn cookie_pairs(&self) -> impl Iterator<Item = (&'b str, Cow<'b, str>)> + '_ {
        self.cookies().map(|(name, value)| (name.trim_ascii(), decoded(value)))
    }

    /// Returns the value of the first cookie of this name, decoded as by
    /// [`cookie_pairs`](Self::cookie_pairs). The letter case of the name matters. `None` if there
    /// is no such cookie. Needs the feature `urlencoded`.
    ///
    /// Several cookies can have one name. Browsers send the one with the longest path first, but
    /// servers should not rely on that (RFC 6265 §4.2.2).
    pub fn cookie_value(&self, name: &str) -> Option<Cow<'b, str>> {
        self.cookie_pairs().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Returns a cookie's value without quotation marks and escapes.
fn decoded(value: &str) -> Cow<'_, str> {
    let value = value.trim_ascii();
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    percent_decode_str(inner.unwrap_or(value)).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use crate::protocol::opening::Request;

    type Pairs<'t> = &'t [(&'t str, &'t str)];

    fn query(target: &str) -> Vec<(String, String)> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let request = Request::parse(head.as_bytes()).expect("a valid request");
        request.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    #[test]
    fn a_query_is_decoded_whatever_it_is() {
        let table: [(&str, Pairs<'_>); 9] = [
            ("/", &[]),
            ("/?", &[]),
            ("/?&&", &[]),
            ("/?a=1&b&=2&a=3", &[("a", "1"), ("b", ""), ("", "2"), ("a", "3")]),
            ("/?a=b=c", &[("a", "b=c")]),
            ("/?caf%C3%A9=a%20b+c%2Bd%26", &[("café", "a b c+d&")]),
            ("/?a=100%&b=%2&c=%zz", &[("a", "100%"), ("b", "%2"), ("c", "%zz")]),
            ("/?a=%C3&b=%FF%FE", &[("a", "\u{FFFD}"), ("b", "\u{FFFD}\u{FFFD}")]),
            ("/?a=%00;b=1", &[("a", "\0;b=1")]),
        ];
        for (target, expected) in table {
            let pairs = query(target);
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(pairs, expected, "{target}");
        }
    }

    #[test]
    fn the_first_value_of_a_name_is_found() {
        let request = Request::parse(b"GET /?a=1&A=2&a=3&%62=4 HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
        for (name, value) in [("a", Some("1")), ("A", Some("2")), ("b", Some("4")), ("c", None), ("", None)] {
            assert_eq!(request.query_value(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn cookies_are_decoded_whatever_they_are() {
        let table: [(&[u8], Pairs<'_>); 8] = [
            (b"", &[]),
            (b"novalue; =empty; a=", &[("", "empty"), ("a", "")]),
            (b"a=1;b=2 ;  c = 3 ", &[("a", "1"), ("b", "2"), ("c", "3")]),
            (b"a=\"quoted\"; b=\"; c=\"\"; d=x\"y\"", &[("a", "quoted"), ("b", "\""), ("c", ""), ("d", "x\"y\"")]),
            (b"a=caf%C3%A9%3B+; b=100%; c=%zz", &[("a", "café;+"), ("b", "100%"), ("c", "%zz")]),
            (b"a=%FF", &[("a", "\u{FFFD}")]),
            (b"__Host%2Did=1", &[("__Host%2Did", "1")]),
            (b"a=\xFF; b=1", &[]),
        ];
        for (cookies, expected) in table {
            let head = [b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ", cookies, b"\r\n\r\n"].concat();
            let request = Request::parse(&head).expect("a valid request");
            let pairs: Vec<(&str, String)> =
                request.cookie_pairs().map(|(name, value)| (name, value.into_owned())).collect();
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(pairs, expected, "{}", cookies.escape_ascii());
            for (name, _) in expected {
                assert!(request.cookie_value(name).is_some(), "{name}");
            }
            assert_eq!(request.cookie_value("missing"), None);
        }
    }
}
