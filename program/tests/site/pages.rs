//! The pages over plain HTTP, and who may open a socket. Over real sockets.

use crate::common::{Wire, serve_made};
use lariat_cli::site::{Options, Site, app_paths, file_names, page_paths};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Returns the status and the requested headers.
fn get(wire: &mut Wire, head: &str) -> (u16, String) {
    wire.send(format!("{head}\r\n\r\n").as_bytes());
    let response = wire.response();
    let headers = ["Content-Type", "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"];
    (response.status(), headers.map(|name| response.header(name).unwrap_or("none").to_owned()).join(" | "))
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript",
        Some((_, "css")) => "text/css",
        Some((_, "svg")) => "image/svg+xml",
        other => panic!("{name} has an ending without a media type: {other:?}"),
    }
}

#[test]
fn every_page_and_file_is_served_under_a_strict_policy() {
    let server = serve_made(|| Site::new(&Options::default()));
    let pages = page_paths().map(|path| (path, "text/html"));
    let files = file_names().map(|name| (format!("/assets/{name}"), media_type(name)));
    let with_query = [("/chat?anything".to_owned(), "text/html")];
    for (path, media_type) in pages.chain(files).chain(with_query) {
        let content_type =
            if media_type == "image/svg+xml" { media_type.to_owned() } else { format!("{media_type}; charset=utf-8") };
        let (status, headers) =
            get(&mut Wire::connect(server.addr), &format!("GET {path} HTTP/1.1\r\nHost: localhost"));
        assert_eq!(status, 200, "{path}");
        assert!(headers.starts_with(&format!("{content_type} | default-src 'none'; script-src 'self';")), "{headers}");
        assert!(headers.ends_with("| nosniff | no-referrer"), "{headers}");
        let (mut stream, mut head) = (TcpStream::connect(server.addr).expect("it listens"), String::new());
        stream.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("it reads");
        stream.read_to_string(&mut head).expect("it ends");
        assert!(
            head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n") && head.contains("\r\nEtag: \""),
            "{head}"
        );
    }
    let (status, _) = get(&mut Wire::connect(server.addr), "GET /assets/../Cargo.toml HTTP/1.1\r\nHost: localhost");
    assert_eq!(status, 404);
}

#[test]
fn pages_have_no_inline_script_or_style_and_no_placeholder() {
    let server = serve_made(|| Site::new(&Options::default()));
    for (path, language) in page_paths().flat_map(|path| [(path.clone(), "en"), (path, "zh")]) {
        let mut wire = Wire::connect(server.addr);
        let headers = format!("Host: localhost\r\nAccept-Language: {language}");
        wire.send(format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes());
        let page = String::from_utf8(wire.response().body).expect("text");
        // The namespace of a picture is a name, and nothing is loaded from there.
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{path}");
        let is_guide = path.starts_with("/guide");
        for forbidden in ["{{", "}}", "style=\"", "<style", " onclick", "http://www", "https://"] {
            // The code and the links of the guide name other hosts.
            let is_allowed = is_guide && matches!(forbidden, "}}" | "https://");
            assert!(is_allowed || !page.contains(forbidden), "{path} has {forbidden}");
        }
        for loaded in ["src=\"http", "<link rel=\"stylesheet\" href=\"http", "srcset", "<iframe", "<img"] {
            assert!(!page.contains(loaded), "{path} has {loaded}");
        }
        // The texts for the scripts are data, which no browser runs.
        let (scripts, data) =
            (page.matches("<script").count(), page.matches("<script type=\"application/json\"").count());
        assert_eq!(scripts - data, page.matches("<script type=\"module\" src=\"/assets/").count(), "{path}");
        assert_eq!(data, 1, "{path}");
        assert_eq!(page.matches("aria-current=\"page\"").count(), usize::from(path != "/"), "{path}");
    }
}

#[test]
fn pages_come_in_the_language_of_their_reader_and_remember_a_choice() {
    let server = serve_made(|| Site::new(&Options::default()));
    let get = |target: &str, headers: &str| {
        let mut wire = Wire::connect(server.addr);
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        let response = wire.response();
        let cookie = response.header("Set-Cookie").unwrap_or_default().to_owned();
        assert_eq!(response.header("Vary"), Some("Accept-Encoding, Accept-Language, Cookie"), "{target}");
        (String::from_utf8(response.body).expect("text"), cookie)
    };
    for path in page_paths() {
        let (english, cookie) = get(&path, "");
        assert!(english.contains("<html lang=\"en\">") && cookie.is_empty(), "{path}");
        assert!(!english.contains("审校"), "{path}");
        let (chinese, cookie) = get(&format!("{path}?lang=zh"), "");
        assert!(chinese.contains("<html lang=\"zh-Hans\">") && chinese.contains("审校"), "{path}");
        assert_eq!(cookie, "lang=zh; Path=/; Max-Age=31536000; SameSite=Lax");
        assert_eq!(get(&path, "Cookie: lang=zh\r\n"), (chinese.clone(), String::new()), "{path}");
        assert_eq!(get(&path, "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n").0, chinese, "{path}");
        assert_eq!(get(&path, "Cookie: lang=en\r\nAccept-Language: zh\r\n").0, english, "{path}");
    }
}

#[test]
fn sockets_are_for_the_sites_own_pages_and_for_allowed_ones() {
    let server = serve_made(|| {
        let mut options = Options::default();
        options.allowed_hosts.push("here.test".to_owned());
        options.allowed_origins.push("https://friend.test".parse().expect("an origin"));
        Site::new(&options)
    });
    let status = |path: &str, origin: &str| {
        let origin = if origin.is_empty() { String::new() } else { format!("\r\nOrigin: {origin}") };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: here.test:9998\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=={origin}"
        );
        get(&mut Wire::connect(server.addr), &head).0
    };
    for path in app_paths().chain(["/echo", "/broadcast"]) {
        let for_all = matches!(path, "/echo" | "/broadcast");
        assert_eq!(status(path, "http://here.test:9998"), 101, "{path} from here");
        assert_eq!(status(path, "https://friend.test"), 101, "{path} from a friend");
        assert_eq!(status(path, ""), 101, "{path} from a program");
        for origin in ["http://elsewhere.test", "http://here.test", "null"] {
            assert_eq!(status(path, origin), if for_all { 101 } else { 403 }, "{path} from {origin}");
        }
    }
}

/// A page at evil.example, whose name resolves to 127.0.0.1, sends an Origin that agrees with Host.
#[test]
fn on_a_loopback_address_only_this_host_and_allowed_ones_are_served() {
    let own = serve_made(|| Site::new(&Options::default()));
    let behind_proxy = serve_made(|| {
        let mut options = Options::default();
        options.allowed_hosts.push("app.example".to_owned());
        Site::new(&options)
    });
    let open = serve_made(|| {
        let mut options = Options::default();
        options.allowed_hosts.push("*".to_owned());
        Site::new(&options)
    });
    let upgrade = "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://";
    for (server, host, is_served) in [
        (&own, "localhost:9998", true),
        (&own, "127.0.0.1:9998", true),
        (&own, "evil.example", false),
        (&own, "app.example", false),
        (&behind_proxy, "app.example", true),
        (&behind_proxy, "evil.example", false),
        (&open, "evil.example", true),
    ] {
        for (path, more, served) in [
            ("/metrics", String::new(), 200),
            ("/assets/style.css", String::new(), 200),
            ("/chat", format!("{upgrade}{host}"), 101),
            ("/echo", format!("{upgrade}{host}"), 101),
        ] {
            let mut wire = Wire::connect(server.addr);
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: {host}{more}\r\n\r\n").as_bytes());
            let response = wire.response();
            assert_eq!(response.status(), if is_served { served } else { 421 }, "{path} at {host}");
            let text = String::from_utf8(response.body).expect("text");
            assert!(is_served || text.contains("--allow-host"), "{text}");
        }
    }
}
