//! Pages, scripts and styles for the browser. They are part of the program: nothing is
//! read from a disk or requested from another host.

use super::texts::{Choice, Language, choose};
use flate2::{Compression, GzBuilder};
use lariat::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use lariat::http::{HeaderValue, Response, StatusCode};
use lariat::{Answer, HttpBody, Request};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;

/// A file of the folder `pages`, as part of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// Returns the file of this name in the folder `pages`.
macro_rules! file {
    ($name:literal) => {
        $crate::site::assets::File { name: $name, text: include_str!(concat!("pages/", $name)) }
    };
}
pub(super) use file;

/// The servers to which the script of a page may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// This server only.
    Here,
    /// Any server.
    Everywhere,
}

impl Reach {
    /// Returns the Content-Security-Policy. It allows only scripts and styles of this server, none
    /// of them inline, and no markup from strings.
    const fn policy(self) -> &'static str {
        match self {
            Reach::Here => {
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
            }
            Reach::Everywhere => {
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
            }
        }
    }
}

/// A resource in both of its codings.
struct Asset {
    content_type: &'static str,
    policy: &'static str,
    identity: Arc<[u8]>,
    /// Compressed at the first request for it.
    gzip: Option<Arc<[u8]>>,
    /// Equal for equal bytes.
    hash: u64,
}

/// A page, in each language in which it was requested.
struct Rendered {
    reach: Reach,
    render: Render,
    languages: HashMap<Language, Asset>,
}

/// Returns the page in a language, as HTML.
type Render = Box<dyn Fn(Language) -> String + Send>;

/// Data for a script, once it was requested.
struct Made {
    make: Make,
    asset: Option<Asset>,
}

/// Returns data, as JSON.
type Make = Box<dyn Fn() -> String + Send>;

/// All resources by path.
#[derive(Default)]
pub(super) struct Assets {
    files: HashMap<String, Asset>,
    pages: HashMap<String, Rendered>,
    made: HashMap<String, Made>,
}

impl Assets {
    /// Adds a page. It is rendered when it is first requested in a language.
    pub(super) fn add_page(&mut self, path: String, reach: Reach, render: Render) {
        self.pages.insert(path, Rendered { reach, render, languages: HashMap::new() });
    }

    /// Adds data for a script. It is made when it is first requested.
    pub(super) fn add_json(&mut self, path: String, make: Make) {
        self.made.insert(path, Made { make, asset: None });
    }

    /// Adds a script, style or image as `/assets/NAME`.
    pub(super) fn add_file(&mut self, file: &File) {
        let content_type = match file.name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        let asset = Asset::new(content_type, Reach::Here, file.text.as_bytes().to_vec());
        self.files.insert(format!("/assets/{}", file.name), asset);
    }

    /// Returns whether there is a resource at a path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.pages.contains_key(path) || self.files.contains_key(path) || self.made.contains_key(path)
    }

    /// Returns the answer to a request, or `None` if there is no such resource.
    pub(super) fn answer(&mut self, request: &Request<'_>) -> Option<Answer> {
        if let Some(page) = self.pages.get_mut(request.path()) {
            return Some(page.respond(request).into());
        }
        if let Some(made) = self.made.get_mut(request.path()) {
            let make = &made.make;
            let new = || Asset::new("application/json", Reach::Here, make().into_bytes());
            return Some(made.asset.get_or_insert_with(new).respond(request).into());
        }
        self.files.get_mut(request.path()).map(|file| file.respond(request).into())
    }
}

impl Rendered {
    fn respond(&mut self, request: &Request<'_>) -> Response<HttpBody> {
        let Choice { language, is_new } = choose(request);
        let asset = self.languages.entry(language).or_insert_with(|| {
            Asset::new("text/html; charset=utf-8", self.reach, (self.render)(language).into_bytes())
        });
        let mut response = asset.respond(request);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding, Accept-Language, Cookie"));
        if is_new {
            headers.insert(SET_COOKIE, HeaderValue::from_static(remember(language)));
        }
        response
    }
}

/// Returns the cookie that makes the browser remember a language for a year.
const fn remember(language: Language) -> &'static str {
    match language {
        Language::English => "lang=en; Path=/; Max-Age=31536000; SameSite=Lax",
        Language::Chinese => "lang=zh; Path=/; Max-Age=31536000; SameSite=Lax",
    }
}

impl Asset {
    fn new(content_type: &'static str, reach: Reach, identity: Vec<u8>) -> Asset {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        let hash = hasher.finish();
        Asset { content_type, policy: reach.policy(), identity: identity.into(), gzip: None, hash }
    }

    fn respond(&mut self, request: &Request<'_>) -> Response<HttpBody> {
        let is_compressed = accepts_gzip(list(request, ACCEPT_ENCODING.as_str()));
        // A strong tag: the codings have different bytes, so they need different tags (RFC 9110
        // §8.8.3.3).
        let tag = format!("\"{:016x}{}\"", self.hash, if is_compressed { "-gzip" } else { "" });
        let is_known = list(request, IF_NONE_MATCH.as_str())
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
        let mut response = Response::new(HttpBody::default());
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            let bytes = if is_compressed { self.gzip() } else { &self.identity };
            *response.body_mut() = bytes.clone().into();
        }
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        for (name, value) in [
            (CACHE_CONTROL, "no-cache"),
            (VARY, "Accept-Encoding"),
            (CONTENT_SECURITY_POLICY, self.policy),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if !is_known {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if is_compressed {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        response
    }

    fn gzip(&mut self) -> &Arc<[u8]> {
        let identity = &self.identity;
        self.gzip.get_or_insert_with(|| {
            let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
            let written = encoder.write_all(identity).and_then(|()| encoder.finish());
            written.expect("writing to a Vec cannot fail").into()
        })
    }
}

/// Returns the elements of a list-valued header, which may have several lines.
fn list<'r>(request: &'r Request<'_>, name: &'r str) -> impl Iterator<Item = &'r str> {
    request
        .values(name)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// Returns whether the browser accepts gzip: it names gzip or `*`, without a weight of zero
/// (RFC 9110 §12.5.3).
fn accepts_gzip<'e>(encodings: impl Iterator<Item = &'e str>) -> bool {
    let mut everything = false;
    for encoding in encodings {
        let mut parts = encoding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let is_wanted = weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return is_wanted;
        }
        if name == "*" {
            everything = is_wanted;
        }
    }
    everything
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use lariat::Answer;
    use std::io::Read;

    const STYLE: File = File { name: "some.css", text: "body { color: red } body { color: red }" };

    fn get(headers: &str) -> Response<HttpBody> {
        let mut assets = Assets::default();
        assets.add_file(&STYLE);
        let head = format!("GET /assets/some.css HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let answer = assets.answer(&Request::parse(head.as_bytes()).expect("a request"));
        let Some(Answer::Respond(response)) = answer else { panic!("{answer:?}") };
        response.into()
    }

    fn header<'r>(response: &'r Response<HttpBody>, name: &str) -> &'r str {
        response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accepted, is_compressed) in [
            ("", false),
            ("Accept-Encoding: gzip\r\n", true),
            ("Accept-Encoding: br, GZIP;q=0.5\r\n", true),
            ("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", true),
            ("Accept-Encoding: gzip;q=0\r\n", false),
            ("Accept-Encoding: gzip; q=0.000, *\r\n", false),
            ("Accept-Encoding: *, gzip;q=0\r\n", false),
            ("Accept-Encoding: *\r\n", true),
            ("Accept-Encoding: *;q=0\r\n", false),
            ("Accept-Encoding: identity\r\n", false),
            ("Accept-Encoding: gzip;q=nonsense\r\n", false),
            ("Accept-Encoding: gzipped\r\n", false),
        ] {
            let response = get(accepted);
            assert_eq!(header(&response, "content-encoding"), if is_compressed { "gzip" } else { "" }, "{accepted}");
            let mut text = String::new();
            if is_compressed {
                GzDecoder::new(response.body().as_bytes()).read_to_string(&mut text).expect("gzip");
            } else {
                text = String::from_utf8(response.body().as_bytes().to_vec()).expect("text");
            }
            assert_eq!(text, STYLE.text, "{accepted}");
            assert_eq!(header(&response, "vary"), "Accept-Encoding");
            assert_eq!(header(&response, "content-type"), "text/css; charset=utf-8");
        }
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let plain = header(&get(""), "etag").to_owned();
        let compressed = header(&get("Accept-Encoding: gzip\r\n"), "etag").to_owned();
        assert!(plain.starts_with('"') && plain != compressed, "strong, and one for each coding");
        for (headers, status) in [
            (format!("If-None-Match: {plain}\r\n"), 304),
            (format!("If-None-Match: \"other\", W/{plain}\r\n"), 304),
            ("If-None-Match: *\r\n".to_owned(), 304),
            (format!("If-None-Match: {compressed}\r\nAccept-Encoding: gzip\r\n"), 304),
            (format!("If-None-Match: {compressed}\r\n"), 200),
            ("If-None-Match: \"other\"\r\n".to_owned(), 200),
        ] {
            let response = get(&headers);
            assert_eq!(response.status(), status, "{headers}");
            assert_eq!(response.body().as_bytes().is_empty(), status == 304, "{headers}");
            assert!(!header(&response, "etag").is_empty(), "{headers}");
        }
    }

    #[test]
    fn a_page_comes_in_the_language_of_its_reader_and_is_rendered_once_for_each() {
        let mut assets = Assets::default();
        let (rendered, renders) = std::sync::mpsc::channel();
        let render = move |language: Language| {
            rendered.send(language).expect("it is received");
            format!("<html lang={}>", language.tag())
        };
        assets.add_page("/a".to_owned(), Reach::Here, Box::new(render));
        let mut get = |target: &str, headers: &str| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            let answer = assets.answer(&Request::parse(head.as_bytes()).expect("a request"));
            let Some(Answer::Respond(response)) = answer else { panic!("{answer:?}") };
            Response::<HttpBody>::from(response)
        };
        let (english, chinese) = (get("/a", ""), get("/a?lang=zh", ""));
        let remembered = get("/a", "Cookie: lang=zh\r\n");
        for (response, tag, cookie) in [
            (&english, "en", ""),
            (&chinese, "zh-Hans", "lang=zh; Path=/; Max-Age=31536000; SameSite=Lax"),
            (&remembered, "zh-Hans", ""),
        ] {
            assert_eq!(response.body().as_bytes(), format!("<html lang={tag}>").as_bytes());
            assert_eq!(header(response, "content-language"), tag);
            assert_eq!(header(response, "vary"), "Accept-Encoding, Accept-Language, Cookie");
            assert_eq!(header(response, "set-cookie"), cookie);
        }
        assert_ne!(header(&english, "etag"), header(&chinese, "etag"));
        // Another language is another page, also for a browser that has the first one.
        let known = format!("If-None-Match: {}\r\n", header(&english, "etag"));
        assert_eq!(get("/a", &known).status(), 304);
        assert_eq!(get("/a?lang=zh", &known).status(), 200);
        assert_eq!(renders.try_iter().collect::<Vec<_>>(), [Language::English, Language::Chinese]);
    }

    #[test]
    fn the_policy_allows_nothing_inline() {
        for reach in [Reach::Here, Reach::Everywhere] {
            assert!(reach.policy().starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
            assert!(!reach.policy().contains("unsafe"));
        }
        assert!(header(&get(""), "content-security-policy").contains("connect-src 'self';"));
    }
}
