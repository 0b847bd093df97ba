//! The options of `lariat connect`.

use crate::client::{RequestOptions, TlsOptions};
use crate::terminal::units;
use lariat::CloseCode;
use std::time::Duration;

/// The most bytes of a Close frame's reason (RFC 6455 §5.5).
const MOST_REASON: usize = 123;

/// What our Close frame says.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

/// Parses `CODE[:REASON]`.
fn farewell(text: &str) -> Result<Farewell, String> {
    let (code, reason) = text.split_once(':').unwrap_or((text, ""));
    let code = code.parse::<u16>().ok().map(CloseCode::from).filter(|code| code.is_allowed());
    let code = code.ok_or(
        "write a code that may be sent, 1000 to 1003, 1007 to 1014 or 3000 to 4999, as in 4000 or 4000:reason",
    )?;
    if reason.len() > MOST_REASON {
        return Err(format!("the reason has {} bytes: write at most {MOST_REASON}", reason.len()));
    }
    Ok(Farewell { code, reason: reason.to_owned() })
}

/// Talk to a WebSocket server: send the lines of standard input, print its messages.
///
/// Each line of standard input is sent as a text message, and each message of the server is
/// printed as a line: text as it is, binary as "binary: " and hexadecimal digits. If standard
/// output is a terminal, control characters are escaped. At the end of standard input, the
/// connection is closed; what the server still sends before it closes is printed. Ctrl-C closes
/// the connection, a second one ends at once.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  the connection ended normally (code 1000, 1001 or none), or --one got its message
  1  no connection, a lost one, one that was closed with another code, or no message in time
  2  wrong usage")]
pub(crate) struct Options {
    /// The server: ws://HOST:PORT/PATH or wss://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Send lines as binary messages. Write the payloads of binary messages as they are, without a
    /// line end, unless standard output is a terminal
    #[arg(long, short = 'b', help_heading = "Messages")]
    pub(crate) binary: bool,
    /// Print one message, and close. The end of standard input does not close
    #[arg(long, short = '1', help_heading = "Messages")]
    pub(crate) one: bool,
    /// At the end of standard input, go on receiving until the server closes
    #[arg(long, short = 'n', conflicts_with = "close", help_heading = "Messages")]
    pub(crate) no_close: bool,
    /// At the end of standard input, go on receiving for this time before closing, for a server
    /// that takes a while to answer
    #[arg(long, short = 'w', value_name = "TIME", value_parser = units::duration, conflicts_with = "no_close", help_heading = "Messages")]
    pub(crate) wait: Option<Duration>,
    /// Close with this code and reason at the end of standard input, or with --one after the
    /// message [default: 1000]
    #[arg(long, value_name = "CODE[:REASON]", value_parser = farewell, help_heading = "Messages")]
    pub(crate) close: Option<Farewell>,
    /// The longest line that is sent, and the longest message that is received
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = units::message_size, help_heading = "Messages")]
    pub(crate) max_message: usize,

    /// The most time for the handshake and for the server's Close, and with --one for the message
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::duration, help_heading = "Connection")]
    pub(crate) timeout: Duration,
    /// Ping a connection that has been silent for this time; after twice this time, it is lost
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Connection")]
    pub(crate) ping: Option<Duration>,

    #[command(flatten)]
    pub(crate) tls: TlsOptions,

    #[command(flatten)]
    pub(crate) request: RequestOptions,

    /// Write no notes to standard error, only why the command fails
    #[arg(long, short = 'q', conflicts_with = "verbose", help_heading = "Notes")]
    pub(crate) quiet: bool,
    /// Write notes to standard error even if it is not a terminal, also about pings, pongs and the
    /// subprotocol
    #[arg(long, short = 'v', help_heading = "Notes")]
    pub(crate) verbose: bool,
}

#[cfg(test)]
mod tests {
    use super::farewell;

    #[test]
    fn a_close_has_a_code_that_may_be_sent() {
        for (text, code, reason) in [("1000", 1000, ""), ("4000:", 4000, ""), ("3001:a: b", 3001, "a: b")] {
            let farewell = farewell(text).expect("it may be sent");
            assert_eq!((farewell.code.number(), farewell.reason.as_str()), (code, reason));
        }
        for bad in ["", "x", "999", "1005", "1006", "5000", "65536", ":reason", "-1"] {
            assert!(farewell(bad).is_err(), "{bad:?}");
        }
        assert!(farewell(&format!("1000:{}", "x".repeat(123))).is_ok());
        assert!(farewell(&format!("1000:{}", "x".repeat(124))).is_err());
    }
}
