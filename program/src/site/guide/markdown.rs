//! Markdown for rustdoc, as HTML for the site.

use super::code::{colored, escaped};
use lariat::guide::texts::{CHAPTERS, PICTURES};
use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A heading in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Its place in the page, which the part of a URL after `#` names.
    pub(super) id: String,
    /// Its words.
    pub(super) title: String,
    /// Everything below it, without markup. For the search.
    pub(super) text: String,
}

/// A text as HTML.
pub(super) struct Html {
    pub(super) html: String,
    /// Its sections. The first one is what stands before the first heading. It has neither an id
    /// nor a title.
    pub(super) sections: Vec<Section>,
}

/// Renders a text. `ids` are the ids of its headings, in order, if it is a translation of another
/// text: links then work in both languages. `anchor` is the name of a link to a section. `words`
/// are those for the pictures, as in [`CHINESE_WORDS`](lariat::guide::texts::CHINESE_WORDS).
pub(super) fn render(markdown: &str, ids: Option<&[String]>, anchor: &str, words: &str) -> Html {
    let mut writer = Writer {
        sections: vec![Section { id: String::new(), title: String::new(), text: String::new() }],
        ids,
        anchor,
        words,
        out: Vec::new(),
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_SMART_PUNCTUATION;
    let events: Vec<Event<'_>> = Parser::new_ext(markdown, options).collect();
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        rest = writer.write(rest);
    }
    let mut html = String::new();
    html::push_html(&mut html, writer.out.into_iter());
    // The policy of the site forbids styles in the page.
    let html = html.replace(" style=\"text-align: right\"", " class=\"right\"");
    // A header without words is none.
    let html = html.replace("<th></th>", "<td></td>").replace("<th class=\"right\"></th>", "<td></td>");
    let sections = writer
        .sections
        .into_iter()
        .map(|section| Section { text: section.text.split_whitespace().collect::<Vec<_>>().join(" "), ..section });
    Html { html, sections: sections.collect() }
}

struct Writer<'m> {
    sections: Vec<Section>,
    ids: Option<&'m [String]>,
    anchor: &'m str,
    words: &'m str,
    out: Vec<Event<'m>>,
}

impl<'m> Writer<'m> {
    /// Writes what begins with the first event. Returns the others.
    fn write<'e>(&mut self, events: &'e [Event<'m>]) -> &'e [Event<'m>] {
        let Some((first, rest)) = events.split_first() else { return events };
        match first {
            Event::Start(Tag::Heading { level, .. }) => self.heading(*level, rest),
            Event::Start(Tag::CodeBlock(kind)) => self.code(kind, rest),
            Event::Start(Tag::HtmlBlock) => self.picture(rest),
            Event::Start(Tag::Link { dest_url, .. }) => self.link(dest_url, rest),
            Event::InlineHtml(_) => rest,
            Event::SoftBreak if self.is_between_ideographs(rest) => rest,
            event => {
                match event {
                    Event::Text(text) | Event::Code(text) => self.remember(text),
                    Event::SoftBreak | Event::HardBreak => self.remember(" "),
                    Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableCell) => self.remember(" "),
                    _ => {}
                }
                self.out.push(event.clone());
                rest
            }
        }
    }

    fn remember(&mut self, text: &str) {
        if let Some(section) = self.sections.last_mut() {
            section.text.push_str(text);
        }
    }

    fn html(&mut self, html: String) {
        self.out.push(Event::Html(CowStr::from(html)));
    }

    /// Whether the line before and the line after a break are in a script without spaces. A browser
    /// would show a space there.
    fn is_between_ideographs(&self, after: &[Event<'m>]) -> bool {
        let is_ideograph = |one: char| matches!(one, '\u{2e80}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}' | '“' | '”');
        let before = self.sections.last().and_then(|section| section.text.chars().next_back());
        let next = after.iter().find_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.chars().next()),
            Event::End(TagEnd::Paragraph) => Some(None),
            _ => None,
        });
        before.is_some_and(is_ideograph) && next.flatten().is_some_and(is_ideograph)
    }

    /// A chapter begins with `#`, as rustdoc wants it. Its title is the `h1` of the page.
    fn heading<'e>(&mut self, level: HeadingLevel, events: &'e [Event<'m>]) -> &'e [Event<'m>] {
        let end = position(events, |event| matches!(event, Event::End(TagEnd::Heading(_))));
        let (content, rest) = (&events[..end], &events[end..]);
        let title = text_of(content);
        let id = match self.ids.and_then(|ids| ids.get(self.sections.len() - 1)) {
            Some(id) => id.clone(),
            None => slug(&title, &self.sections),
        };
        self.sections.push(Section { id: id.clone(), title: title.clone(), text: String::new() });
        let tag = if level == HeadingLevel::H1 { "h2" } else { "h3" };
        self.html(format!("<{tag} id=\"{}\">", escaped(&id)));
        self.out.extend(content.iter().cloned());
        self.html(format!(
            " <a class=\"anchor\" href=\"#{0}\" aria-label=\"{1}: {2}\">#</a></{tag}>\n",
            escaped(&id),
            escaped(self.anchor),
            escaped(&title)
        ));
        rest.get(1..).unwrap_or_default()
    }

    fn code<'e>(&mut self, kind: &CodeBlockKind<'m>, events: &'e [Event<'m>]) -> &'e [Event<'m>] {
        let end = position(events, |event| matches!(event, Event::End(TagEnd::CodeBlock)));
        let code = text_of(&events[..end]);
        let is_rust = matches!(kind, CodeBlockKind::Fenced(language) if language.is_empty());
        let code = if is_rust { without_hidden_lines(&code) } else { code };
        self.remember(&format!(" {code} "));
        let shown = if is_rust { colored(&code) } else { escaped(&code) };
        self.html(format!("<pre translate=\"no\" tabindex=\"0\"><code>{shown}</code></pre>\n"));
        events.get(end + 1..).unwrap_or_default()
    }

    /// The only HTML in the guide is the place of a picture.
    fn picture<'e>(&mut self, events: &'e [Event<'m>]) -> &'e [Event<'m>] {
        let end = position(events, |event| matches!(event, Event::End(TagEnd::HtmlBlock)));
        let place = text_of(&events[..end]);
        let value = |start: &str| place.split_once(start)?.1.split_once('"').map(|(value, _)| value);
        let picture = value("href=\"#").and_then(|name| PICTURES.iter().find(|picture| picture.name == name));
        if let (Some(picture), Some(label)) = (picture, value("aria-label=\"")) {
            let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
            // The label says more than the title, in the language of the page.
            let lines = picture.svg.lines().filter(|line| !line.trim_start().starts_with("<title>"));
            let svg = lines.collect::<Vec<_>>().join("\n");
            let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
            let svg = translated(&svg, picture.name, self.words).replacen(
                &format!("id=\"{}\"", picture.name),
                &format!("aria-label=\"{label}\""),
                1,
            );
            self.html(format!("<figure tabindex=\"0\">{svg}</figure>\n"));
        }
        events.get(end + 1..).unwrap_or_default()
    }

    /// A link to a chapter or to another host stays a link. Items and sources of the library are no
    /// pages of this site: their names stay.
    fn link<'e>(&mut self, target: &str, events: &'e [Event<'m>]) -> &'e [Event<'m>] {
        let end = position(events, |event| matches!(event, Event::End(TagEnd::Link)));
        let target = target_of(target);
        if let Some(target) = &target {
            self.html(format!("<a href=\"{}\">", escaped(target)));
        }
        let mut content = &events[..end];
        while !content.is_empty() {
            content = self.write(content);
        }
        if target.is_some() {
            self.html("</a>".to_owned());
        }
        events.get(end + 1..).unwrap_or_default()
    }
}

/// Returns a picture with the words for it.
fn translated(svg: &str, name: &str, words: &str) -> String {
    let own = words.split("[").find_map(|part| part.strip_prefix(name)?.strip_prefix("]\n")).unwrap_or_default();
    let pairs = own.lines().filter_map(|line| line.split_once(" = "));
    let in_svg =
        |words: &str| format!(">{}</text>", words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    pairs.fold(svg.to_owned(), |svg, (english, other)| svg.replace(&in_svg(english), &in_svg(other)))
}

fn position(events: &[Event<'_>], is_end: impl Fn(&Event<'_>) -> bool) -> usize {
    events.iter().position(is_end).unwrap_or(events.len())
}

fn text_of(events: &[Event<'_>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => Some(text.as_ref()),
        Event::SoftBreak | Event::HardBreak => Some(" "),
        _ => None,
    });
    texts.collect()
}

/// Returns where a link of the guide leads on the site, or `None` if there is no such page.
fn target_of(target: &str) -> Option<String> {
    // The server that shows this page may have another address.
    if let Some(path) = target.strip_prefix("http://localhost:9998") {
        return Some(if path.is_empty() { "/".to_owned() } else { path.to_owned() });
    }
    if target.starts_with("https://") || target.starts_with("http://") || target.starts_with('#') {
        return Some(target.to_owned());
    }
    let (name, anchor) = target.split_once('#').map_or((target, ""), |(name, anchor)| (name, anchor));
    let name = name.strip_prefix("crate::guide::").unwrap_or(name);
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    CHAPTERS.iter().any(|chapter| chapter.name == name).then(|| format!("/guide/{name}{anchor}"))
}

/// Returns the id of a heading, as rustdoc forms it.
fn slug(title: &str, others: &[Section]) -> String {
    let title = title.to_lowercase();
    let kept = title.chars().filter_map(|one| match one {
        ' ' | '-' => Some('-'),
        '_' => Some('_'),
        one if one.is_alphanumeric() => Some(one),
        _ => None,
    });
    let first: String = kept.collect();
    let is_free = |id: &String| others.iter().all(|other| other.id != *id);
    let numbered = (1..).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(numbered).find(is_free).unwrap_or_default()
}

/// Removes the lines that rustdoc hides.
fn without_hidden_lines(code: &str) -> String {
    let shown = code.lines().filter_map(|line| {
        let content = line.trim_start();
        if content == "#" || content.starts_with("# ") {
            return None;
        }
        // `##` stands for a line that begins with `#`.
        Some(if content.starts_with("##") { line.replacen("##", "#", 1) } else { line.to_owned() })
    });
    let shown: Vec<String> = shown.collect();
    let text = shown.join("\n");
    format!("{}\n", text.trim_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(markdown: &str) -> String {
        render(markdown, None, "Link", "").html
    }

    #[test]
    fn links_lead_to_pages_or_are_none() {
        for (markdown, expected) in [
            ("[chapter 9](crate::guide::ch09_time)", "<p><a href=\"/guide/ch09_time\">chapter 9</a></p>\n"),
            ("[Time](ch09_time#try-it)", "<p><a href=\"/guide/ch09_time#try-it\">Time</a></p>\n"),
            ("[`Config`](crate::Config) is", "<p><code>Config</code> is</p>\n"),
            ("[front page](crate)", "<p>front page</p>\n"),
            ("[`src/a.rs`](../../../src/lariat/a.rs.html)", "<p><code>src/a.rs</code></p>\n"),
            ("<http://localhost:9998/chat>", "<p><a href=\"/chat\">http://localhost:9998/chat</a></p>\n"),
            ("[a *b*](https://example.org/?a&b)", "<p><a href=\"https://example.org/?a&amp;b\">a <em>b</em></a></p>\n"),
            ("[x](javascript:alert(1))", "<p>x</p>\n"),
            ("[x](ch99_none)", "<p>x</p>\n"),
        ] {
            assert_eq!(html(markdown), expected, "{markdown}");
        }
    }

    #[test]
    fn headings_have_places() {
        let page =
            render("Before.\n\n# Who speaks first?\n\nText\n\n# Who, speaks: first\n\n## `a_b`", None, "Link", "");
        assert!(
            page.html.contains("<h2 id=\"who-speaks-first\">Who speaks first? <a class=\"anchor\""),
            "{}",
            page.html
        );
        assert!(
            page.html.contains("<h2 id=\"who-speaks-first-1\">")
                && page.html.contains("<h3 id=\"a_b\"><code>a_b</code> <a")
        );
        let ids: Vec<&str> = page.sections.iter().map(|section| section.id.as_str()).collect();
        assert_eq!(ids, ["", "who-speaks-first", "who-speaks-first-1", "a_b"]);
        assert_eq!(page.sections[1].text, "Text");

        let ids = ["one".to_owned()];
        assert!(render("# 一\n\n# 二", Some(&ids), "Link", "").html.contains("<h2 id=\"one\">一"));
    }

    #[test]
    fn code_is_shown_without_hidden_lines() {
        let rust = "```\n# use a::b;\nuse c;\n#\n#[derive(Debug)]\n  # hidden();\n## x\n# end\n```";
        assert_eq!(
            html(rust),
            "<pre translate=\"no\" tabindex=\"0\"><code><i class=\"k\">use</i> c;\n#[derive(Debug)]\n# x\n</code></pre>\n"
        );
        let text = "```text\n# a comment\n<b>\n```";
        assert_eq!(html(text), "<pre translate=\"no\" tabindex=\"0\"><code># a comment\n&lt;b&gt;\n</code></pre>\n");
    }

    #[test]
    fn only_pictures_are_html() {
        let place = "<div><svg viewBox=\"0 0 720 190\" role=\"img\"\naria-label=\"Two\nbytes.\"><use href=\"#frame\"/></svg></div>";
        let page = html(place);
        assert!(page.starts_with("<figure tabindex=\"0\"><svg aria-label=\"Two bytes.\" viewBox="), "{page}");
        assert!(!page.contains("<title>") && !page.contains("<use"), "{page}");
        assert!(page.contains(">payload</text>") && page.contains(">opcode</text>"), "{page}");
        let words = "[masking]\npayload = x\n\n[frame]\npayload = a < b\n\n[fragments]\nopcode = y\n";
        let page = render(place, None, "Link", words).html;
        assert!(page.contains(">a &lt; b</text>") && page.contains(">opcode</text>"), "{page}");
        assert_eq!(html("<div><script>alert(1)</script></div>"), "");
        assert_eq!(html(&place.replace("#frame", "#none")), "");
        assert!(!html("a <b onclick=x>b</b>").contains("<b"));
    }

    #[test]
    fn lines_of_chinese_are_joined() {
        assert_eq!(html("一行，\n又一行\nand one\n三"), "<p>一行，又一行\nand one\n三</p>\n");
    }

    #[test]
    fn columns_of_numbers_have_a_class() {
        assert!(html("| a | b |\n|--:|---|\n| 1 | x |").contains("<td class=\"right\">1</td>"));
        assert!(html("| | b |\n|--:|---|\n| 1 | x |").contains("<tr><td></td><th>b</th></tr>"));
    }
}
