//! The lessons of `/learn`: a page for each, and their list.
//!
//! A new lesson needs an entry in [`LESSONS`], a script in `pages/`, and its texts below
//! `learn.NAME`. The head of `pages/lesson.js` says what the script is.

use super::assets::{File, Reach, file};
use super::class;
use super::page::{Content, Page};
use super::texts::{Language, fill, keys, text};

/// A lesson. Its place in [`LESSONS`] is its number.
struct Lesson {
    /// What its texts are below: `learn.NAME`.
    group: &'static str,
    /// The chapter of the guide that explains the same.
    chapter: &'static str,
    /// Where the code is: a file, and a function in it.
    code: &'static [(&'static str, &'static str)],
    script: File,
    /// The right choice of each question, for the sheet: its lesson does not know it. A question
    /// that is missing depends on the host.
    right: &'static [(&'static str, &'static str)],
}

/// The lessons, in the order of their numbers.
const LESSONS: &[Lesson] = &[
    Lesson {
        group: "learn.handshake",
        chapter: "ch02_opening_handshake",
        code: &[
            ("src/protocol/opening/request.rs", "judge_upgrade"),
            ("src/protocol/opening/response.rs", "encode_upgrade"),
        ],
        script: file!("lesson-handshake.js"),
        right: &[("version", "426"), ("key", "400"), ("accept", "public")],
    },
    Lesson {
        group: "learn.frame",
        chapter: "ch03_frames",
        code: &[("src/protocol/wire/frame.rs", "decode"), ("src/protocol/wire/error.rs", "close_code")],
        script: file!("lesson-frame.js"),
        right: &[("reserved", "1002"), ("length", "nothing"), ("encoding", "1007")],
    },
    Lesson {
        group: "learn.mask",
        chapter: "ch03_frames",
        code: &[("src/protocol/wire/mask.rs", "apply_bytewise"), ("src/protocol/connection/receive.rs", "check_frame")],
        script: file!("lesson-mask.js"),
        right: &[("same", "different"), ("xor", "7f"), ("unmasked", "1002")],
    },
    Lesson {
        group: "learn.fragments",
        chapter: "ch04_messages",
        code: &[
            ("src/protocol/connection/receive.rs", "check_frame"),
            ("src/protocol/connection/receive.rs", "receive_control"),
            ("src/protocol/wire/utf8.rs", "push"),
        ],
        script: file!("lesson-fragments.js"),
        right: &[("ping", "pong"), ("second", "1002"), ("split", "echo")],
    },
    Lesson {
        group: "learn.closing",
        chapter: "ch05_closing",
        code: &[
            ("src/protocol/wire/close.rs", "decode_body"),
            ("src/protocol/connection/machine.rs", "receive_close"),
            ("src/protocol/connection/machine.rs", "receive_eof"),
        ],
        script: file!("lesson-closing.js"),
        right: &[("first", "server"), ("code", "1002"), ("lost", "1006")],
    },
    Lesson {
        group: "learn.readiness",
        chapter: "ch06_readiness",
        code: &[("src/server/event_loop/event_loop.rs", "wait"), ("program/src/lab/threads.rs", "serve")],
        script: file!("lesson-readiness.js"),
        right: &[("threads", "each"), ("switches", "more"), ("memory", "hundred")],
    },
    Lesson {
        group: "learn.turn",
        chapter: "ch08_turn",
        code: &[
            ("src/server/event_loop/event_loop.rs", "turn_from"),
            ("src/server/engine/reading.rs", "read_client"),
            ("src/server/engine/writing.rs", "flush"),
        ],
        script: file!("lesson-turn.js"),
        right: &[("held", "kernel"), ("turns", "one"), ("reads", "one")],
    },
    Lesson {
        group: "learn.pressure",
        chapter: "ch10_slow_readers",
        code: &[
            ("src/server/clients/slow.rs", "send_latest"),
            ("src/server/clients/pause.rs", "pause"),
            ("program/src/site/slow.rs", "feed"),
        ],
        script: file!("lesson-pressure.js"),
        right: &[("close", "closed"), ("latest", "newest"), ("browser", "later")],
    },
    Lesson {
        group: "learn.polling",
        chapter: "ch01_purpose",
        code: &[("program/src/site/ticker/ticker.rs", "latest"), ("program/src/site/ticker/ticker.rs", "tick")],
        script: file!("lesson-polling.js"),
        right: &[("bytes", "ten"), ("delay", "half"), ("quiet", "poll")],
    },
    Lesson {
        group: "learn.many",
        chapter: "ch13_how_many",
        code: &[("program/src/doctor/findings.rs", "findings"), ("program/src/doctor/host.rs", "read_from")],
        script: file!("lesson-many.js"),
        right: &[("price", "kernel")],
    },
];

/// The files of all lessons. The first one is the script of the page.
const FILES: [File; 9] = [
    file!("lesson.js"),
    file!("lab.js"),
    file!("learner.js"),
    file!("measured.js"),
    file!("progress.js"),
    file!("drawing.js"),
    file!("bytes.js"),
    file!("lesson.css"),
    file!("measured.css"),
];

/// Returns the pages of the lessons.
pub(super) fn pages() -> impl Iterator<Item = Page> {
    let lessons = LESSONS.iter().enumerate().map(|(at, lesson)| Page {
        path: path(at),
        app: "/learn",
        files: FILES.into_iter().chain([lesson.script]).collect(),
        texts: vec!["learn.lesson", "learn.learner", lesson.group],
        reach: Reach::Here,
        content: Box::new(move |language| Content {
            title: lesson.title(language),
            description: lesson.sentence(language),
            main: lesson.render(language, at),
        }),
    });
    lessons.chain([sheet(), class()])
}

/// Returns the page for printing, with all questions and answers.
fn sheet() -> Page {
    Page {
        path: "/learn/sheet".to_owned(),
        app: "/learn",
        files: vec![file!("sheet.css")],
        texts: Vec::new(),
        reach: Reach::Here,
        content: Box::new(|language| Content {
            title: text(language, "learn.sheet.title"),
            description: text(language, "learn.sheet.lead"),
            main: fill(language, include_str!("pages/sheet.html")).replace(
                "{{lessons}}",
                &LESSONS.iter().enumerate().map(|(at, lesson)| lesson.answers(language, at)).collect::<String>(),
            ),
        }),
    }
}

/// Returns the teacher's page. Its script needs the texts of all questions.
fn class() -> Page {
    Page {
        path: class::PATH.to_owned(),
        app: "/learn",
        files: vec![file!("class.js"), file!("class.css")],
        texts: ["learn.class"].into_iter().chain(LESSONS.iter().map(|lesson| lesson.group)).collect(),
        reach: Reach::Here,
        content: Box::new(|language| {
            let names: Vec<&str> = LESSONS.iter().map(Lesson::name).collect();
            Content {
                title: text(language, "learn.class.title"),
                description: text(language, "learn.class.lead"),
                main: fill(language, include_str!("pages/class.html")).replace("{{names}}", &names.join(" ")),
            }
        }),
    }
}

/// Returns the places in the code that lessons name: files and functions.
pub fn code_of_lessons() -> impl Iterator<Item = (&'static str, &'static str)> {
    LESSONS.iter().flat_map(|lesson| lesson.code.iter().copied())
}

/// Returns the chapters of the guide that lessons name.
pub fn chapters_of_lessons() -> impl Iterator<Item = &'static str> {
    LESSONS.iter().map(|lesson| lesson.chapter)
}

/// Returns a text for scripts as HTML.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn path(at: usize) -> String {
    format!("/learn/{}", at + 1)
}

/// Returns the items of the list at `/learn`.
pub(super) fn items(language: Language) -> String {
    let item = |(at, lesson): (usize, &Lesson)| {
        format!(
            "<li><a class=\"card lesson-link\" href=\"{}\" data-lesson=\"{}\"><span class=\"lesson-number\" \
             aria-hidden=\"true\">{}</span><span class=\"lesson-title\">{}</span><span class=\"lesson-sentence\">{}</span>\
             <span class=\"lesson-progress\"></span></a></li>\n",
            path(at),
            lesson.name(),
            at + 1,
            lesson.title(language),
            lesson.sentence(language)
        )
    };
    LESSONS.iter().enumerate().map(item).collect()
}

impl Lesson {
    fn name(&self) -> &'static str {
        self.group.trim_start_matches("learn.")
    }

    fn title(&self, language: Language) -> String {
        let name = self.name();
        text(language, &format!("learn.{name}.title"))
    }

    fn sentence(&self, language: Language) -> String {
        let name = self.name();
        text(language, &format!("learn.{name}.sentence"))
    }

    fn lead(&self, language: Language) -> String {
        let name = self.name();
        text(language, &format!("learn.{name}.lead"))
    }

    /// Returns the questions of the lesson with their choices, in the order of its script.
    fn questions(&self) -> Vec<(String, Vec<String>)> {
        let place = |word: &str, from: usize| self.script.text[from..].find(word).map(|at| from + at);
        let group = format!("{}.", self.group);
        let mut questions: Vec<(usize, String)> = keys(&group)
            .filter_map(|key| key.strip_suffix(".ask").map(str::to_owned))
            .filter_map(|name| Some((place(&format!("key: \"{name}\""), 0)?, name)))
            .collect();
        questions.sort();
        let choices = |(at, name): (usize, String)| {
            let from = place("choices: [", at).unwrap_or(at);
            let in_script = |choice: &String| place(&format!("\"{choice}\""), from);
            let mut choices: Vec<String> = keys(&format!("{group}{name}.choices.")).map(str::to_owned).collect();
            choices.sort_by_key(in_script);
            (name, choices)
        };
        questions.into_iter().map(choices).collect()
    }

    /// Returns the lesson's part of the sheet.
    fn answers(&self, language: Language, at: usize) -> String {
        let lesson = self.name();
        let question = |(name, choices): (String, Vec<String>)| {
            let part = |part: &str| plain(&text(language, &format!("learn.{lesson}.{name}.{part}")));
            let right = self.right.iter().find(|(of, _)| *of == name).map(|(_, choice)| *choice);
            let of_choice = |choice: &String| {
                let mark = if right == Some(choice.as_str()) { " class=\"right\"" } else { "" };
                format!("<li data-choice=\"{choice}\"{mark}>{}</li>\n", part(&format!("choices.{choice}")))
            };
            let choices: String = choices.iter().map(of_choice).collect();
            let answer = right.map_or_else(
                || text(language, "learn.sheet.depends"),
                |choice| plain(&text(language, &format!("learn.{lesson}.{name}.choices.{choice}"))),
            );
            format!(
                "<li class=\"asked\" data-question=\"{name}\"><p class=\"ask\">{}</p>\n<ul class=\"boxes\">\n{choices}</ul>\n\
                 <p><b>{}</b> {}</p>\n<div class=\"answer\"><p class=\"right\"><b>{}</b> {answer}</p>\n<p>{}</p></div></li>\n",
                part("ask"),
                text(language, "learn.lesson.do"),
                part("task"),
                text(language, "learn.sheet.answer"),
                part("why")
            )
        };
        format!(
            "<section class=\"card sheet-lesson\" data-lesson=\"{}\">\n<h2><a href=\"{}\">{}. {}</a></h2>\n<p class=\"soft\">{}</p>\n<ol>\n{}</ol>\n</section>\n",
            lesson,
            path(at),
            at + 1,
            self.title(language),
            self.lead(language),
            self.questions().into_iter().map(question).collect::<String>()
        )
    }

    fn render(&self, language: Language, at: usize) -> String {
        let code = self.code.iter().map(|(path, function)| {
            format!("<li translate=\"no\"><code>{path}</code>, <code>{function}</code></li>\n")
        });
        let near = |at: Option<usize>, class: &str| {
            let lesson = at.and_then(|at| Some((at, LESSONS.get(at)?)));
            lesson.map_or_else(String::new, |(at, lesson)| {
                format!("<a class=\"{class}\" href=\"{}\">{}. {}</a>\n", path(at), at + 1, lesson.title(language))
            })
        };
        let is_last = at + 1 == LESSONS.len();
        let end = format!("<p class=\"end\">{}</p>\n", text(language, "learn.lesson.end"));
        fill(language, include_str!("pages/lesson.html"))
            .replace("{{lesson}}", self.name())
            .replace("{number}", &(at + 1).to_string())
            .replace("{lessons}", &LESSONS.len().to_string())
            .replace("{{title}}", &self.title(language))
            .replace("{{lead}}", &self.lead(language))
            .replace("{{chapter}}", self.chapter)
            .replace("{{code}}", &code.collect::<String>())
            .replace("{{end}}", if is_last { &end } else { "" })
            .replace("{{previous}}", &near(at.checked_sub(1), "previous"))
            .replace("{{next}}", &near(Some(at + 1), "next"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_has_a_right_choice_for_each_question() {
        for lesson in LESSONS {
            let questions = lesson.questions();
            for (question, choice) in lesson.right {
                let found = questions.iter().find(|(name, _)| name == question);
                let (_, choices) = found.unwrap_or_else(|| panic!("{question} of {}", lesson.group));
                assert!(choices.iter().any(|one| one == choice), "{choice} of {question} of {}", lesson.group);
            }
            let depends = questions.iter().filter(|(name, _)| !lesson.right.iter().any(|(of, _)| of == name));
            let depends: Vec<&str> = depends.map(|(name, _)| name.as_str()).collect();
            let expected: &[&str] = if lesson.group == "learn.many" { &["first"] } else { &[] };
            assert_eq!(depends, expected, "{}", lesson.group);
        }
    }
}
