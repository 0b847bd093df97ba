//! Work that takes long is done on another thread, which answers through a `Remote`.
//!
//! The loop is one thread: while a callback runs, nobody else is served. So callbacks hand long
//! work over and return.
//!
//! ```text
//! cargo run --example threads [ADDRESS]
//! ```
//!
//! In a browser's console, for the prime factors of a number (the second one takes a while; the
//! third is answered at once):
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("600851475143"); ws.send("18446744073709551557"); ws.send("hello?")
//! ```

use lariat::{ClientId, Clients, Handler, Message, Remote, RemoteError, Server};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// At most so many jobs wait for the worker. Without a bound, clients could fill the memory.
const MAX_WAITING: usize = 100;

/// A number to take apart, and who wants to know.
struct Job {
    client: ClientId,
    number: u64,
}

/// Lives on the loop's thread.
struct Factors {
    jobs: SyncSender<Job>,
}

impl Handler for Factors {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, client: ClientId, message: Message<'_>) {
        let answer = match message.as_text().map(str::parse) {
            // `try_send` never waits, as nothing in a callback may.
            Some(Ok(number)) => match self.jobs.try_send(Job { client, number }) {
                Ok(()) => return,
                Err(_) => "busy, try again later",
            },
            Some(Err(_)) | None => "send a whole number below 2^64",
        };
        let _ = clients.send(client, answer);
    }
}

/// Lives on a thread of its own, until the handler, and with it the other end of the channel, is
/// gone.
fn work(jobs: Receiver<Job>, remote: Remote<()>) {
    for Job { client, number } in jobs {
        let text = format!("{number} = {}", factorize(number));
        // The client may have left meanwhile. An id is never given to anybody else, so this reaches nobody
        // then.
        match remote.send(client, &text) {
            Ok(()) => {}
            Err(RemoteError::Stopped) => return,
            Err(error) => eprintln!("an answer is lost: {error}"),
        }
    }
}

/// The slow way, on purpose.
fn factorize(number: u64) -> String {
    let (mut rest, mut divisor, mut factors) = (number, 2, Vec::new());
    while rest / divisor >= divisor {
        if rest % divisor == 0 {
            rest /= divisor;
            factors.push(divisor.to_string());
        } else {
            divisor += 1;
        }
    }
    factors.push(rest.to_string());
    factors.join(" * ")
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    let (jobs, waiting) = sync_channel(MAX_WAITING);
    let remote = server.remote();
    thread::spawn(move || work(waiting, remote));
    server.run(Factors { jobs })
}
