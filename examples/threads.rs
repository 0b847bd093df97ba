//! Moves long work to another thread, which answers through a `Remote`.
//!
//! The loop is one thread. While a callback runs, it serves no other client. So a callback passes
//! long work to another thread and returns.
//!
//! ```text
//! cargo run --example threads [ADDRESS]
//! ```
//!
//! Type this into a browser's console to get the prime factors of a number. The second number takes
//! a while. The third message is answered at once:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("600851475143"); ws.send("18446744073709551557"); ws.send("hello?")
//! ```

use lariat::{ClientId, Clients, Handler, Message, Remote, Server};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The most jobs that wait for the worker. Without a limit, clients could fill the memory.
const MAX_WAITING: usize = 100;

/// A number to factorize, and the client that asked.
struct Job {
    client: ClientId,
    number: u64,
}

/// The handler, on the thread of the loop.
struct Factors {
    jobs: SyncSender<Job>,
}

impl Handler for Factors {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, client: ClientId, message: Message<'_>) {
        let answer = match message.as_text().map(str::parse) {
            // `try_send` never waits. A callback must not wait.
            Some(Ok(number)) => match self.jobs.try_send(Job { client, number }) {
                Ok(()) => return,
                Err(_) => "busy, try again later",
            },
            Some(Err(_)) | None => "send a whole number below 2^64",
        };
        // An error says that the client is closing. `on_close` follows.
        let _ = clients.send(client, answer);
    }
}

/// The worker, on its own thread. It ends when the handler drops the other end of the channel.
fn work(jobs: Receiver<Job>, remote: Remote<()>) {
    for Job { client, number } in jobs {
        let text = format!("{number} = {}", factorize(number));
        let (sent, is_sent) = sync_channel(1);
        let answer = move |clients: &mut Clients<()>| {
            // The client may have disconnected. An id is never used again, so no other client gets
            // its answer.
            let _ = clients.send(client, &*text);
            let _ = sent.send(());
        };
        // The worker waits until the loop has sent the answer, so its calls never fill the queue
        // of the loop. Both fail if the loop has ended.
        if remote.run(answer).is_err() || is_sent.recv().is_err() {
            return;
        }
    }
}

/// Returns the prime factors of a number. It is slow on purpose.
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
