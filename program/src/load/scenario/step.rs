//! The steps of a scenario.

use super::hex::Hex;
use super::pattern::{Capture, Pattern};
use crate::load::content::Template;
use std::time::Duration;

/// What each connection does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) steps: Vec<Step>,
    /// What answers messages at any time.
    pub(crate) rules: Vec<Rule>,
    /// The names of captured values.
    pub(crate) variables: Vec<String>,
    /// The loops inside one another, at most.
    pub(crate) depth: usize,
    /// It ends only with the run.
    pub(crate) is_endless: bool,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its number in the file, from 1.
    pub(crate) line: u32,
    pub(crate) text: String,
    pub(crate) op: Op,
    /// Messages that come now may be expected later.
    pub(crate) expects_later: bool,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Send(Body),
    Expect {
        /// The next message must match.
        next: bool,
        within: Option<Duration>,
        pattern: Pattern,
    },
    ExpectClose {
        within: Option<Duration>,
        code: Option<u16>,
    },
    Capture {
        variable: usize,
        what: Capture,
    },
    Wait {
        least: Duration,
        most: Duration,
    },
    Ping,
    Close {
        code: u16,
        reason: String,
    },
    /// The steps from here to `end` are repeated. `level` counts the loops around this one.
    Loop {
        times: Option<u32>,
        rate: Option<f64>,
        level: usize,
        end: usize,
    },
    End {
        start: usize,
    },
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Text(Template),
    Binary(Template),
    Bytes(Hex),
}

/// Answers each message that matches.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) answer: Body,
    /// Its number in the file, from 1.
    pub(crate) line: u32,
    pub(crate) text: String,
}

impl Op {
    /// Returns whether it waits for the server, so that its time says something.
    pub(crate) const fn is_measured(&self) -> bool {
        matches!(self, Op::Expect { .. } | Op::ExpectClose { .. } | Op::Ping | Op::Close { .. })
    }

    pub(crate) const fn is_expect(&self) -> bool {
        matches!(self, Op::Expect { .. })
    }

    /// Returns whether time passes in it.
    pub(super) const fn waits(&self) -> bool {
        self.is_measured() || matches!(self, Op::Wait { .. } | Op::Loop { rate: Some(_), .. })
    }
}
