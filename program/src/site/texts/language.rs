//! The languages of the site, and how a request chooses one.

use lariat::Request;

/// A language in which all texts exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    English,
    Chinese,
}

impl Language {
    /// All languages. The texts of the first one stand in for missing ones.
    pub const ALL: [Language; 2] = [Language::English, Language::Chinese];

    /// Returns the name in the query, in the cookie and of the file with the texts.
    pub const fn name(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }

    /// Returns the language tag of the pages (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-Hans",
        }
    }

    /// Returns the language's name for itself, as HTML. The Chinese one is drawn, because a system
    /// may have no font for it.
    pub const fn endonym(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Chinese => {
                "<svg viewBox=\"0 0 44 20\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.7\" aria-hidden=\"true\">\
                 <path d=\"M3 5h14v8h-14zM10 1v18M33 1l1.5 2.8M24 5h18.5M38 5c-1 6-6 11-13.5 13.5M28.5 5c1 6 6 11 13.5 13.5\"/>\
                 </svg><span class=\"visually-hidden\">中文</span>"
            }
        }
    }

    fn named(name: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| language.name() == name)
    }

    /// Returns the language that serves a range of `Accept-Language`, such as `zh-TW` (RFC 4647
    /// §2.1).
    fn of_range(range: &str) -> Option<Language> {
        if range == "*" {
            return Some(Language::English);
        }
        let primary = range.split('-').next().unwrap_or_default();
        Language::ALL.into_iter().find(|language| language.name().eq_ignore_ascii_case(primary))
    }
}

/// What a request says about the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub language: Language,
    /// The visitor has chosen it with this request, by `?lang=`. The browser should remember it.
    pub is_new: bool,
}

/// Chooses the language of a response: the one in the query, or else in the cookie, or else the one
/// that the browser prefers, or else English.
pub fn choose(request: &Request<'_>) -> Choice {
    if let Some(language) = request.query_value("lang").and_then(|name| Language::named(&name)) {
        return Choice { language, is_new: true };
    }
    let remembered = request.cookie_value("lang").and_then(|name| Language::named(&name));
    Choice { language: remembered.or_else(|| preferred(request)).unwrap_or(Language::English), is_new: false }
}

/// Returns the language with the highest weight in `Accept-Language`. Among equals, the first one
/// is preferred (RFC 9110 §12.5.4).
fn preferred(request: &Request<'_>) -> Option<Language> {
    let mut best: Option<(Language, f32)> = None;
    for value in request.values("accept-language").filter_map(|value| std::str::from_utf8(value).ok()) {
        for element in value.split(',') {
            let mut parts = element.split(';').map(str::trim);
            let language = parts.next().and_then(Language::of_range);
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok()).unwrap_or(0.0);
            let Some(language) = language.filter(|_| weight > 0.0) else { continue };
            if best.is_none_or(|(_, highest)| weight > highest) {
                best = Some((language, weight));
            }
        }
    }
    best.map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(target: &str, headers: &str) -> (&'static str, bool) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let choice = choose(&Request::parse(head.as_bytes()).expect("a request"));
        (choice.language.name(), choice.is_new)
    }

    #[test]
    fn the_browser_says_which_language_its_user_prefers() {
        for (accepted, name) in [
            ("", "en"),
            ("zh", "zh"),
            ("zh-CN", "zh"),
            ("zh-TW, en;q=0.9", "zh"),
            ("ZH-Hans-CN", "zh"),
            ("en-GB, zh;q=0.9", "en"),
            ("en;q=0.3, zh;q=0.4", "zh"),
            ("zh;q=0.5, en;q=0.5", "zh"),
            ("en, zh", "en"),
            ("de, zh;q=0.2", "zh"),
            ("de, fr", "en"),
            ("zh;q=0", "en"),
            ("zh;q=0, *", "en"),
            ("*, zh;q=0.5", "en"),
            ("zh; Q=0.8 , en;q=0.7", "zh"),
            ("zh;q=nonsense, en;q=0.1", "en"),
            ("zho", "en"),
            (";;, ,=", "en"),
        ] {
            assert_eq!(chosen("/", &format!("Accept-Language: {accepted}\r\n")), (name, false), "{accepted}");
        }
        assert_eq!(chosen("/", "Accept-Language: de\r\nAccept-Language: zh\r\n").0, "zh", "two lines");
        assert_eq!(chosen("/", "").0, "en");
    }

    #[test]
    fn a_link_is_stronger_than_the_cookie_and_the_cookie_than_the_browser() {
        let all = "Accept-Language: en\r\nCookie: a=b; lang=zh\r\n";
        assert_eq!(chosen("/", all), ("zh", false));
        assert_eq!(chosen("/chat?lang=en", all), ("en", true));
        assert_eq!(chosen("/chat?a=1&lang=zh", ""), ("zh", true));
        for unknown in ["/?lang=de", "/?lang=", "/?lang=ZH", "/?lang=%ff"] {
            assert_eq!(chosen(unknown, "Cookie: lang=zh\r\n"), ("zh", false), "{unknown}");
        }
        assert_eq!(chosen("/", "Cookie: lang=de\r\nAccept-Language: zh\r\n"), ("zh", false));
    }
}
