use super::*;
use crate::protocol::deflate::grammar::Useless;

fn elements(line: &str) -> Vec<Result<String, Useless>> {
    Elements::new(line.as_bytes()).map(|element| element.map(|parameters| parameters.to_string())).collect()
}

fn acceptable(lines: &[&str]) -> Option<String> {
    Parameters::acceptable_offer(lines.iter().map(|line| line.as_bytes())).map(|offer| offer.to_string())
}

#[test]
fn offers_that_are_in_order_are_read() {
    let table = [
        ("permessage-deflate", "permessage-deflate"),
        (" ,\t, permessage-deflate ,", "permessage-deflate"),
        ("permessage-deflate;client_max_window_bits", "permessage-deflate; client_max_window_bits"),
        ("permessage-deflate ; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
        ("permessage-deflate;\tserver_max_window_bits=\"10\"", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=\"1\\5\"", "permessage-deflate; server_max_window_bits=15"),
        (
            "permessage-deflate; client_max_window_bits=15; server_max_window_bits=9; client_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=15",
        ),
    ];
    for (line, expected) in table {
        assert_eq!(elements(line), [Ok(expected.to_owned())], "{line}");
    }
}

#[test]
fn every_window_that_rfc_7692_allows_is_read_and_no_other() {
    let most = if cfg!(miri) { 20 } else { 300 };
    for bits in 0..most {
        let is_legal = (8..=15).contains(&bits);
        for side in ["server", "client"] {
            let line = format!("permessage-deflate; {side}_max_window_bits={bits}");
            let expected = if is_legal { Ok(line.clone()) } else { Err(Useless::Unknown) };
            assert_eq!(elements(&line), [expected], "{line}");
        }
    }
}

#[test]
fn what_is_malformed_doubled_or_unknown_is_declined_and_the_next_offer_is_looked_at() {
    use Useless::{Malformed, Unknown};
    let table = [
        ("=", Malformed),
        (";", Malformed),
        ("\"permessage-deflate\"", Malformed),
        ("permessage-deflate;", Malformed),
        ("permessage-deflate; ;", Malformed),
        ("permessage-deflate client_max_window_bits", Malformed),
        ("permessage-deflate; client_max_window_bits=", Malformed),
        ("permessage-deflate; client_max_window_bits = 9", Malformed),
        ("permessage-deflate; client_max_window_bits= 9", Malformed),
        ("permessage-deflate; client_max_window_bits=9 9", Malformed),
        ("permessage-deflate; client_max_window_bits=\"\"", Malformed),
        ("permessage-deflate; client_max_window_bits=\"9 \"", Malformed),
        ("permessage-deflate; client_max_window_bits=\"9\"9", Malformed),
        ("permessage-deflate; client_max_window_bits=\"9,permessage-deflate;\\\"\"", Malformed),
        ("permessage-deflate\u{e9}", Malformed),
        ("permessage-deflate; =9", Malformed),
        ("Permessage-Deflate", Unknown),
        ("x-webkit-deflate-frame", Unknown),
        ("bbf-usp-protocol; id=\"a-1\"", Unknown),
        ("permessage-deflate; mux", Unknown),
        ("permessage-deflate; mux=\"9\"", Unknown),
        ("permessage-deflate; server_max_window_bits", Unknown),
        ("permessage-deflate; server_max_window_bits=7", Unknown),
        ("permessage-deflate; server_max_window_bits=16", Unknown),
        ("permessage-deflate; server_max_window_bits=09", Unknown),
        ("permessage-deflate; server_max_window_bits=+9", Unknown),
        ("permessage-deflate; client_max_window_bits=0", Unknown),
        ("permessage-deflate; client_max_window_bits=100", Unknown),
        ("permessage-deflate; server_no_context_takeover=1", Unknown),
        ("permessage-deflate; client_no_context_takeover=\"true\"", Unknown),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", Unknown),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", Unknown),
        ("permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", Unknown),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=10", Unknown),
        ("permessage-deflate; client_max_window_bits=10; client_max_window_bits", Unknown),
    ];
    for (line, useless) in table {
        assert_eq!(elements(line), [Err(useless)], "{line}");
        let next = "permessage-deflate; client_max_window_bits=11";
        assert_eq!(acceptable(&[&format!("{line}, {next}, permessage-deflate")]).as_deref(), Some(next), "{line}");
        assert_eq!(acceptable(&[line, next]).as_deref(), Some(next), "{line}");
        assert_eq!(acceptable(&[line]), None, "{line}");
        assert!(judge_response(Some(Deflate::default().offer(Takeover::Both)), [line.as_bytes()].into_iter()).is_err());
    }
    // An unclosed quotation mark invalidates the rest of its line.
    assert_eq!(elements("permessage-deflate; a=\"b, permessage-deflate"), [Err(Malformed)]);
    assert_eq!(
        acceptable(&["permessage-deflate; a=\"b, permessage-deflate", "permessage-deflate"]).as_deref(),
        Some(NAME)
    );
    assert_eq!(acceptable(&[]), None);
    assert_eq!(acceptable(&["", " , "]), None);
}

#[test]
fn a_window_in_which_zlib_cannot_compress_is_declined() {
    let next = "permessage-deflate; server_max_window_bits=9";
    assert_eq!(acceptable(&["permessage-deflate; server_max_window_bits=8"]), None);
    assert_eq!(acceptable(&["permessage-deflate; server_max_window_bits=8", next]).as_deref(), Some(next));
}

#[test]
fn a_long_header_takes_no_longer_than_its_length() {
    // A quadratic algorithm would take minutes here.
    let length = if cfg!(miri) { 256 } else { 8 << 20 };
    for piece in ["permessage-deflate; server_max_window_bits=8,", "a;b=\"\\\"", "\"", "a;", ",", "a=\"b\" \"", "\\\""]
    {
        let line = piece.repeat(length / piece.len());
        assert_eq!(acceptable(&[&line]), None);
    }
}

#[test]
fn a_server_responds_to_every_offer_with_what_it_may() {
    let all = Deflate { context_takeover: Takeover::Both, ..Deflate::default() };
    let small = Deflate { max_window_bits: 11, ..all.clone() };
    let none = "; server_no_context_takeover; client_no_context_takeover";
    // (offer, with takeover, without, with takeover and a window of 11 bits)
    let table = [
        ("", "", none, "; server_max_window_bits=11"),
        ("; client_max_window_bits", "", none, "; server_max_window_bits=11; client_max_window_bits=11"),
        (
            "; client_max_window_bits=15",
            "; client_max_window_bits=15",
            "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=15",
            "; server_max_window_bits=11; client_max_window_bits=11",
        ),
        (
            "; server_max_window_bits=15",
            "; server_max_window_bits=15",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
            "; server_max_window_bits=11",
        ),
        (
            "; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8",
            "; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8",
            "; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8",
        ),
        (
            "; client_no_context_takeover",
            "; client_no_context_takeover",
            none,
            "; client_no_context_takeover; server_max_window_bits=11",
        ),
    ];
    for (offer, with, without, windowed) in table {
        let offer =
            Parameters::acceptable_offer([format!("{NAME}{offer}").as_bytes()].into_iter()).expect("acceptable");
        assert_eq!(all.respond(offer, Takeover::Both).to_string(), format!("{NAME}{with}"));
        assert_eq!(all.respond(offer, Takeover::Never).to_string(), format!("{NAME}{without}"));
        assert_eq!(small.respond(offer, Takeover::Both).to_string(), format!("{NAME}{windowed}"));
    }
}

#[test]
fn a_client_takes_nothing_that_it_has_not_offered() {
    let strict = Deflate { max_window_bits: 11, ..Deflate::default() }.offer(Takeover::Never);
    let open = Deflate::default().offer(Takeover::Both);
    assert_eq!(
        strict.to_string(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=11"
    );
    assert_eq!(open.to_string(), "permessage-deflate; client_max_window_bits");
    let plain = Parameters { client_max_window_bits: ClientWindow::Unsaid, ..open };
    // (offer, response's headers, whether the response is valid)
    let promise = "permessage-deflate; server_no_context_takeover; server_max_window_bits=";
    let table = [
        (open, vec![], true),
        (open, vec![NAME.to_owned()], true),
        (open, vec![format!("{NAME}; client_max_window_bits=8; server_max_window_bits=8")], true),
        (open, vec![format!("{NAME}; server_no_context_takeover; client_no_context_takeover")], true),
        (open, vec![format!("{NAME}; client_max_window_bits")], false),
        (open, vec![format!("{NAME}, {NAME}")], false),
        (open, vec![NAME.to_owned(), NAME.to_owned()], false),
        (open, vec![format!("{NAME}, x")], false),
        (open, vec!["x".to_owned()], false),
        (plain, vec![format!("{NAME}; client_max_window_bits=15")], false),
        (plain, vec![format!("{NAME}; server_max_window_bits=15")], true),
        (strict, vec![NAME.to_owned()], false),
        (strict, vec![format!("{promise}11")], true),
        (strict, vec![format!("{promise}8; client_max_window_bits=9")], true),
        (strict, vec![format!("{promise}12")], false),
        (strict, vec![format!("{promise}11; client_max_window_bits=12")], false),
        (strict, vec![format!("{NAME}; server_max_window_bits=11")], false),
        (strict, vec![format!("{NAME}; server_no_context_takeover")], false),
    ];
    for (offer, headers, may) in table {
        let judged = judge_response(Some(offer), headers.iter().map(|line| line.as_bytes()));
        assert_eq!(judged.is_ok(), may, "{offer} {headers:?}");
        assert_eq!(judge_response(None, headers.iter().map(|line| line.as_bytes())).is_ok(), headers.is_empty());
    }
}

#[test]
fn both_sides_understand_each_response_alike() {
    let takeovers = [Takeover::Never, Takeover::Sent, Takeover::Received, Takeover::Both];
    let step = if cfg!(miri) { 6 } else { 1 };
    let windows = || (9..=15).step_by(step);
    for (server_bits, client_bits) in windows().flat_map(|server| windows().map(move |client| (server, client))) {
        for (ours, theirs) in takeovers.iter().flat_map(|ours| takeovers.iter().map(move |theirs| (*ours, *theirs))) {
            let server = Deflate { max_window_bits: server_bits, ..Deflate::default() };
            let client = Deflate { max_window_bits: client_bits, ..Deflate::default() };
            let header = client.offer(theirs).to_string();
            let offer = Parameters::acceptable_offer([header.as_bytes()].into_iter()).expect("acceptable");
            let response = server.respond(offer, ours);
            let header = response.to_string();
            let judged = judge_response(Some(client.offer(theirs)), [header.as_bytes()].into_iter());
            assert_eq!(judged, Ok(Some(response)));
            let at_server = Agreed::new(Role::Server, response, &server, ours);
            let at_client = Agreed::new(Role::Client, response, &client, theirs);
            assert_eq!(at_server.keeps_sent(), ours.of_sent() && theirs.of_received());
            assert_eq!(at_client.keeps_sent(), theirs.of_sent() && ours.of_received());
            assert_eq!(at_server.keeps_sent(), at_client.keeps_received());
            assert_eq!(at_client.keeps_sent(), at_server.keeps_received());
            assert_eq!(at_server.window_bits(), Some(server_bits.min(client_bits)));
            assert_eq!(at_client.window_bits(), Some(server_bits.min(client_bits)));
        }
    }
    assert!(!Agreed::default().is_compressed());
    assert_eq!(Agreed::default().window_bits(), None);
    assert_eq!(size_of::<Agreed>(), 1);
}
