//! Reads scenarios.

use super::hex::Hex;
use super::pattern::{Capture, Pattern};
use super::step::{Body, Op, Rule, Scenario, Step};
use crate::load::content::{Names, Template};
use crate::terminal::units;
use std::time::Duration;

/// Loops inside one another, at most.
const DEEPEST: usize = 8;

/// Splits a text into its first word and the rest.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once([' ', '\t']).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

impl Scenario {
    /// Reads a scenario that may use these columns of `--data`.
    ///
    /// # Errors
    ///
    /// A sentence that names the line.
    pub(crate) fn read(text: &str, columns: &[String]) -> Result<Scenario, String> {
        let mut reader = Reader { columns, variables: variables(text), ..Reader::default() };
        for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            reader.line(line, text.trim()).map_err(|why| format!("line {line}: {why}"))?;
        }
        reader.finish()
    }
}

/// Returns the names that are captured somewhere.
fn variables(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        if let ("capture", rest) = word(line) {
            let name = word(rest).0.to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// A scenario that is being read.
#[derive(Debug, Default)]
struct Reader<'a> {
    columns: &'a [String],
    variables: Vec<String>,
    /// The numbers of the variables that the lines before have captured.
    captured: Vec<usize>,
    scenario: Scenario,
    /// The loops that have begun: where, and whether time passes in them.
    open: Vec<(usize, bool)>,
}

impl Reader<'_> {
    fn line(&mut self, line: u32, text: &str) -> Result<(), String> {
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let (word, rest) = word(text);
        let op = match word {
            "send" => Op::Send(self.body(rest)?),
            "expect" => self.expect(rest)?,
            "capture" => self.capture(rest)?,
            "wait" => wait(rest)?,
            "ping" if rest.is_empty() => Op::Ping,
            "close" => close(rest)?,
            "repeat" | "forever" => self.begin_loop(word, rest)?,
            "end" if rest.is_empty() => self.end_loop()?,
            "on" => return self.rule(line, text, rest),
            "ping" | "end" => return Err(format!("nothing comes after {word:?}")),
            _ => {
                return Err(format!(
                    "{word:?} is no step: write send, expect, capture, wait, ping, close, repeat, forever, end or on"
                ));
            }
        };
        if self.is_after_the_end() {
            return Err(
                "this line is never reached: the loop before it is endless, or the connection is closed".to_owned()
            );
        }
        if let Some((_, waits)) = self.open.last_mut() {
            *waits |= op.waits();
        }
        self.add(line, text, op);
        Ok(())
    }

    fn add(&mut self, line: u32, text: &str, op: Op) {
        self.scenario.steps.push(Step { line, text: text.to_owned(), op, expects_later: false });
    }

    /// Returns whether the last step is one after which nothing comes.
    fn is_after_the_end(&self) -> bool {
        let steps = &self.scenario.steps;
        match steps.last().map(|step| &step.op) {
            Some(Op::Close { .. } | Op::ExpectClose { .. }) => true,
            Some(Op::End { start }) => matches!(steps[*start].op, Op::Loop { times: None, .. }),
            _ => false,
        }
    }

    // ---- texts ---------------------------------------------------------------------------------

    /// Reads a text that may use names.
    fn template(&self, text: &str) -> Result<Template, String> {
        let template = Template::new(text, self.names())?;
        self.check(&[&template])?;
        Ok(template)
    }

    fn names(&self) -> Names<'_> {
        Names { columns: self.columns, variables: &self.variables }
    }

    fn check(&self, templates: &[&Template]) -> Result<(), String> {
        let is_known = |number| self.captured.contains(&number);
        match templates.iter().find_map(|template| template.unknown_variable(is_known)) {
            Some(number) => Err(format!("{{{}}} is captured only in a later line", self.variables[number])),
            None => Ok(()),
        }
    }

    fn pattern(&self, text: &str) -> Result<Pattern, String> {
        let pattern = Pattern::read(text, self.names())?;
        self.check(&pattern.templates())?;
        Ok(pattern)
    }

    fn body(&self, text: &str) -> Result<Body, String> {
        match word(text) {
            ("hex", rest) => {
                let hex = Hex::read(rest, self.names())?;
                self.check(&hex.templates())?;
                Ok(Body::Bytes(hex))
            }
            ("binary", rest) => self.template(rest).map(Body::Binary),
            // For texts that begin with one of these words.
            ("text", rest) => self.template(rest).map(Body::Text),
            _ => self.template(text).map(Body::Text),
        }
    }

    // ---- steps ---------------------------------------------------------------------------------

    fn expect(&self, mut text: &str) -> Result<Op, String> {
        let (mut next, mut within) = (false, None);
        loop {
            match word(text) {
                ("next", rest) if !next => (next, text) = (true, rest),
                ("within", rest) if within.is_none() => {
                    let (time, rest) = word(rest);
                    (within, text) = (Some(units::duration(time)?), rest);
                }
                ("close", code) if !next => {
                    let code = if code.is_empty() { None } else { Some(self::code(code)?) };
                    return Ok(Op::ExpectClose { within, code });
                }
                _ => break,
            }
        }
        Ok(Op::Expect { next, within, pattern: self.pattern(text)? })
    }

    fn capture(&mut self, text: &str) -> Result<Op, String> {
        let last = self.scenario.steps.last().map(|step| &step.op);
        if !matches!(last, Some(Op::Expect { .. } | Op::Capture { .. })) {
            return Err("a capture comes after the expect whose message it looks into".to_owned());
        }
        let (name, what) = word(text);
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || !name.chars().all(is_name) || ["id", "seq", "time", "uuid"].contains(&name) {
            return Err(format!(
                "{name:?} cannot be the name of a value: use letters, digits, - and _, and not id, seq, time or uuid"
            ));
        }
        let variable = self.variables.iter().position(|known| known == name).unwrap_or_default();
        self.captured.push(variable);
        Ok(Op::Capture { variable, what: Capture::read(what)? })
    }

    fn begin_loop(&mut self, kind: &str, text: &str) -> Result<Op, String> {
        let (times, rest) = match kind {
            "repeat" => {
                let (count, rest) = word(text);
                (Some(units::count_to::<{ u32::MAX }>(count)?), rest)
            }
            _ => (None, text),
        };
        let rate = match word(rest) {
            ("", _) => None,
            ("at", rate) => Some(units::rate(rate)?),
            (other, _) => return Err(format!("{other:?} says nothing here: write \"at 5/s\", or nothing")),
        };
        let level = self.open.len();
        if level == DEEPEST {
            return Err(format!("at most {DEEPEST} loops can be inside one another"));
        }
        self.open.push((self.scenario.steps.len(), rate.is_some()));
        self.scenario.depth = self.scenario.depth.max(level + 1);
        Ok(Op::Loop { times, rate, level, end: 0 })
    }

    fn end_loop(&mut self) -> Result<Op, String> {
        let (start, waits) = self.open.pop().ok_or("there is no loop that could end here")?;
        let here = self.scenario.steps.len();
        if here == start + 1 {
            return Err("this loop is empty".to_owned());
        }
        let Op::Loop { times, end, .. } = &mut self.scenario.steps[start].op else { return Err("no loop".to_owned()) };
        *end = here;
        if times.is_none() {
            self.scenario.is_endless = true;
            if !waits {
                return Err("this loop never waits: add \"at 5/s\" to it, or a wait or expect".to_owned());
            }
        }
        if let Some((_, outer)) = self.open.last_mut() {
            *outer |= waits;
        }
        Ok(Op::End { start })
    }

    fn rule(&mut self, line: u32, text: &str, rest: &str) -> Result<(), String> {
        let wrong = "write on PATTERN send TEXT";
        let (pattern, answer) = rest.split_once(" send ").ok_or(wrong)?;
        let (pattern, answer) = (self.pattern(pattern.trim())?, self.body(answer.trim())?);
        self.scenario.rules.push(Rule { pattern, answer, line, text: text.to_owned() });
        Ok(())
    }

    fn finish(mut self) -> Result<Scenario, String> {
        if let Some((start, _)) = self.open.pop() {
            let line = self.scenario.steps[start].line;
            return Err(format!("line {line}: this loop has no end: write \"end\" in a line after its steps"));
        }
        if self.scenario.steps.is_empty() {
            return Err("there is no step in it".to_owned());
        }
        mark_what_is_expected(&mut self.scenario.steps);
        self.scenario.variables = self.variables;
        Ok(self.scenario)
    }
}

/// Notes at each step whether an expect comes later: in a loop, also one before it.
fn mark_what_is_expected(steps: &mut [Step]) {
    let mut later = false;
    for place in (0..steps.len()).rev() {
        if let Op::End { start } = steps[place].op {
            later |= steps[start..place].iter().any(|step| matches!(step.op, Op::Expect { .. }));
        }
        steps[place].expects_later = later;
        later |= matches!(steps[place].op, Op::Expect { .. });
    }
}

fn wait(text: &str) -> Result<Op, String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most): (Duration, Duration) = (units::duration(least.trim())?, units::duration(most.trim())?);
    if least > most {
        return Err(format!("{text} ends before it begins"));
    }
    Ok(Op::Wait { least, most })
}

fn close(text: &str) -> Result<Op, String> {
    let (code, reason) = word(text);
    let code = if code.is_empty() { 1_000 } else { self::code(code)? };
    if reason.len() > 123 {
        return Err("a reason has at most 123 bytes".to_owned());
    }
    Ok(Op::Close { code, reason: reason.to_owned() })
}

/// Reads a close code that can be sent (RFC 6455 §7.4).
fn code(text: &str) -> Result<u16, String> {
    let code = text.parse().ok().filter(|code| matches!(code, 1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999));
    code.ok_or_else(|| format!("{text:?} is no close code: write 1000 to 1003, 1007 to 1014 or 3000 to 4999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scenario, String> {
        Scenario::read(text, &["user".to_owned()])
    }

    #[test]
    fn each_line_is_a_step() {
        let scenario = read(
            "# login, then chat\n\nsend {\"user\":\"{user}\"}\r\nexpect within 2s json /ok = true\n  capture token json /token\n\
             on contains ping send pong\nrepeat 3 at 5/s\n  send {token}\n  expect next any\n  wait 1s..2s\nend\nping\nclose 4000 bye bye\n",
        )
        .expect("it makes sense");
        let lines: Vec<u32> = scenario.steps.iter().map(|step| step.line).collect();
        assert_eq!(lines, [3, 4, 5, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!((scenario.variables.len(), scenario.rules.len(), scenario.depth), (1, 1, 1));
        assert!(!scenario.is_endless);
        let later: Vec<bool> = scenario.steps.iter().map(|step| step.expects_later).collect();
        assert_eq!(later, [true, true, true, true, true, true, true, true, false, false]);
        assert!(matches!(scenario.steps[3].op, Op::Loop { times: Some(3), rate: Some(5.0), level: 0, end: 7 }));
        assert!(matches!(&scenario.steps[9].op, Op::Close { code: 4_000, reason } if reason == "bye bye"));
        assert!(read("forever\nexpect any\nend").expect("it makes sense").is_endless);
    }

    #[test]
    fn what_is_wrong_names_the_line() {
        for (text, expected) in [
            ("", "no step"),
            ("# nothing\n", "no step"),
            ("say x", "line 1: \"say\" is no step"),
            ("send a\nexpect like b", "line 2: \"like\" is no pattern"),
            ("expect within x any", "line 1: unknown unit"),
            ("expect within 1s", "is no pattern"),
            ("expect close 1005", "no close code"),
            ("capture x", "comes after the expect"),
            ("expect any\ncapture a b", "line 2: \"b\" cannot be captured"),
            ("expect any\ncapture id", "line 2: \"id\" cannot be"),
            ("expect any\ncapture", "line 2: \"\" cannot be"),
            ("send {x}\nexpect any\ncapture x", "line 1: {x} is captured only in a later line"),
            ("wait", "line 1: write a time"),
            ("wait 2s..1s", "ends before it begins"),
            ("ping now", "nothing comes after"),
            ("close 999", "no close code"),
            ("repeat\nsend a\nend", "line 1"),
            ("repeat 0\nsend a\nend", "line 1"),
            ("repeat 2 quickly\nsend a\nend", "\"quickly\" says nothing"),
            ("repeat 2\nend", "line 2: this loop is empty"),
            ("repeat 2\nsend a", "line 1: this loop has no end"),
            ("end", "line 1: there is no loop"),
            ("forever\nsend a\nend", "line 3: this loop never waits"),
            ("forever\nping\nend\nsend a", "line 4: this line is never reached"),
            ("close\nsend a", "line 2: this line is never reached"),
            ("on any", "write on PATTERN send TEXT"),
            ("send {random:x}", "line 1: {random:x} is no range"),
            ("send hex 1", "not hexadecimal"),
            ("send hex {x}\nexpect any\ncapture x", "line 1: {x} is captured only in a later line"),
            ("expect hex {x}\ncapture x", "line 1: {x} is captured only in a later line"),
        ] {
            let error = read(text).map(|_| ()).expect_err("it is wrong");
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let nested = "repeat 2\n".repeat(9) + "ping\n" + &"end\n".repeat(9);
        assert!(read(&nested).unwrap_err().contains("line 9: at most 8 loops"));
    }
}
