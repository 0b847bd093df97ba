//! Scenarios: what each connection does, step by step.
//!
//! A scenario is a text file. Each line is a step; empty lines and lines that begin with `#` are
//! skipped. `{id}`, `{seq}`, `{time}`, `{uuid}`, `{random:A-B}`, columns of `--data` and captured
//! values are filled in.
//!
//! | line | what the connection does |
//! |---|---|
//! | `send TEXT` | sends a text message |
//! | `send binary TEXT`, `send hex 10 0C` | sends a binary message |
//! | `expect PATTERN` | waits for a message that matches, and passes over others before it |
//! | `expect next PATTERN` | the next message must match |
//! | `expect within 2s PATTERN` | waits no longer than that, instead of `--timeout` |
//! | `expect close [CODE]` | waits until the server closes |
//! | `capture NAME` | keeps the message that was expected |
//! | `capture NAME json /a/b` | keeps a value in it |
//! | `capture NAME regex TEXT` | keeps what the first group matches |
//! | `wait 2s`, `wait 1s..3s` | waits, for a random time in the second form |
//! | `ping` | sends a ping, and waits for the pong |
//! | `close [CODE [REASON]]` | closes the connection, and waits for the server's Close |
//! | `repeat N [at RATE]` .. `end` | does the steps between N times |
//! | `forever [at RATE]` .. `end` | does them until the run ends |
//! | `on PATTERN send TEXT` | answers each message that matches, at any step |
//!
//! | pattern | the message |
//! |---|---|
//! | `any` | is any |
//! | `exact TEXT` | is this |
//! | `contains TEXT`, `starts TEXT` | contains this, begins with this |
//! | `regex TEXT` | matches this regular expression |
//! | `json /a/b` | is JSON with something there (RFC 6901) |
//! | `json /a/b = VALUE` | is JSON with this value there |
//! | `hex 20 02`, `hex 30 ..` | has these bytes, or begins with them |
//!
//! This room has no connection: texts in, decisions out.
//!
//! | file | question |
//! |---|---|
//! | `hex` | which bytes does a line of hexadecimal digits stand for? |
//! | `pattern` | does a message match, and what is in it? |
//! | `step` | which steps are there? |
//! | `parse` | what does a file say? |

mod hex;
mod parse;
mod pattern;
mod step;

pub(crate) use pattern::shown;
pub(crate) use step::{Body, Op, Scenario, Step};
