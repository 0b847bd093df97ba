//! `lariat connect`: from its options to its exit code.

use super::options::Options;
use super::output::Output;
use super::session::{Asked, Session};
use crate::client::{is_secure, parse_url};
use crate::terminal::{Failure, Log, Usage};
use lariat::{CloseCode, Config, ConnectOptions, Deflate, Drain, Server};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `lariat connect`.
pub(crate) fn run(options: &Options, log: &Log) -> Result<ExitCode, Failure> {
    let refused = |Usage(sentence)| {
        log.say(&format!("lariat: {sentence}\n"));
        Ok(ExitCode::from(2))
    };
    let connect_options = match connect_options(options) {
        Ok(connect_options) => connect_options,
        Err(usage) => return refused(usage),
    };
    let of_host = |error: io::Error| Failure(format!("the event loop has failed: {error}"));
    let server: Server<()> = Server::new(config(options)).map_err(of_host)?;
    let drain = Drain::default().code(CloseCode::Normal).deadline(options.timeout).over(Duration::ZERO);
    #[cfg(unix)]
    let server = server.shutdown_on_signals(drain).map_err(of_host)?;
    let output = Output::start(server.remote()).map_err(of_host)?;
    let session = Session::new(Asked::new(options), log.clone(), output);
    let mut event_loop = server.start(session).map_err(of_host)?;
    if let Err(error) = event_loop.clients_mut().connect(&options.url, &connect_options) {
        return refused(Usage(format!("{}: {error}", options.url)));
    }
    let outcome = event_loop.run().map_err(of_host)?;
    let session = event_loop.handler_mut();
    if !session.is_written && !outcome.interrupted {
        session.output.flush();
    }
    match std::mem::replace(&mut session.outcome, Ok(())) {
        Err(sentence) => Err(Failure(sentence)),
        Ok(()) if outcome.interrupted => Ok(ExitCode::FAILURE),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn connect_options(options: &Options) -> Result<ConnectOptions, Usage> {
    parse_url(&options.url)?;
    let built = options.request.options()?;
    match is_secure(&options.url) {
        true => Ok(built.tls(options.tls.tls(false)?)),
        false if options.tls.is_asked() => {
            Err(Usage("--ca, --cert, --key and --insecure are for wss:// URLs".to_owned()))
        }
        false => Ok(built),
    }
}

/// Returns a configuration in which the server has all the time that the options do not limit.
fn config(options: &Options) -> Config {
    let mut config = Config::default();
    let limits = &mut config.limits;
    limits.max_message = options.max_message;
    // One batch of lines is sent at a time, and one of them may be long.
    limits.max_unsent = usize::MAX / 16;
    limits.handshake_timeout = options.timeout.max(Duration::from_millis(1));
    limits.close_timeout = options.timeout.max(Duration::from_millis(1));
    limits.ping_interval = options.ping;
    limits.idle_timeout = options.ping.map(|ping| ping * 2);
    (limits.message_timeout, limits.write_timeout) = (None, None);
    config.memory_budget = usize::MAX / 2;
    config.deflate = if options.request.deflate { Some(Deflate::default()) } else { None };
    config
}
