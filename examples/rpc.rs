//! Remote procedure calls (JSON-RPC 2.0) on a pool of threads. Answers come when they are ready,
//! not in the order of the requests.
//!
//! ```text
//! cargo run --example rpc [ADDRESS]
//! ```
//!
//! Type this into a browser's console. The second request is answered first:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998")
//! ws.onmessage = event => console.log(event.data)
//! request = (id, number) => ({jsonrpc: "2.0", id, method: "factors", params: [number]})
//! call = (id, number) => ws.send(JSON.stringify(request(id, number)))
//! call(1, 4611686014132420609); call(2, 42)
//! ```
//!
//! A client may send as many requests as it likes. Of each client, [`MAX_IN_FLIGHT`] are handled at
//! a time. Then the client is paused: Lariat stops reading, and TCP makes the client wait. Nothing
//! is refused, and nothing piles up.

use lariat::{ClientId, Clients, CloseCode, Config, Handler, Message, Remote, RemoteError, Server};
use serde_json::{Value, json};
use std::panic::catch_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const WORKERS: usize = 4;

/// The most requests of one client that are handled at a time.
const MAX_IN_FLIGHT: usize = 16;

const MAX_CLIENTS: usize = 1_000;

/// The longest request, in bytes. At most `MAX_CLIENTS * MAX_IN_FLIGHT` requests wait for a worker.
/// So they take at most 64 MiB.
const MAX_REQUEST: usize = 4 << 10;

/// A request on its way to a worker, which reads it.
struct Job {
    client: ClientId,
    request: String,
}

/// The handler, on the thread of the loop.
struct Rpc {
    jobs: SyncSender<Job>,
}

impl Handler for Rpc {
    /// The number of the client's requests that have no answer yet.
    type Data = usize;

    fn on_message(&mut self, clients: &mut Clients<usize>, id: ClientId, message: Message<'_>) {
        let Some(mut client) = clients.get(id) else { return };
        let Some(request) = message.as_text() else {
            // An error says that the client is closing already. `on_close` follows.
            let _ = client.close(CloseCode::Unsupported, "send text");
            return;
        };
        // `try_send` never waits. A callback must not wait.
        if self.jobs.try_send(Job { client: id, request: request.to_owned() }).is_err() {
            // Requests of clients that have disconnected can still fill the queue.
            let _ = client.close(CloseCode::Again, "busy");
            return;
        }
        *client.data_mut() += 1;
        if *client.data() == MAX_IN_FLIGHT {
            // The next message is held back, also if it has arrived together with this one.
            client.pause();
        }
    }
}

/// Sends an answer, on the thread of the loop. The client may have disconnected. An id is never
/// used again, so no other client gets its answer.
fn finished(clients: &mut Clients<usize>, id: ClientId, answer: &str) {
    let Some(mut client) = clients.get(id) else { return };
    *client.data_mut() -= 1;
    let _ = client.send(answer);
    // This does nothing if the client is not paused.
    client.resume();
}

/// A worker, on its own thread. It ends with the loop.
fn work(jobs: &Mutex<Receiver<Job>>, remote: &Remote<usize>) {
    loop {
        // One worker at a time waits for a job. It releases the lock before it works.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { client, request }) = job else { return };
        let answer = answer(&request);
        let mut result = remote.run(move |clients: &mut Clients<usize>| finished(clients, client, &answer));
        while let Err(refused) = result {
            if refused.error != RemoteError::Full {
                return;
            }
            // The loop is far behind. The error has given the call back.
            thread::sleep(Duration::from_millis(1));
            result = remote.run(refused.call);
        }
    }
}

/// An error of JSON-RPC: its code and its text.
type Failure = (i32, &'static str);

/// Reads a request, does what it asks for, and returns the answer.
fn answer(request: &str) -> String {
    let (id, outcome) = match serde_json::from_str::<Value>(request) {
        Ok(request) => match &request["id"] {
            id @ (Value::String(_) | Value::Number(_)) => {
                // A method that panics ends neither the worker nor the count of its client.
                let outcome = catch_unwind(|| perform(&request)).unwrap_or(Err((-32603, "internal error")));
                (id.clone(), outcome)
            }
            // This server has no batches, and no notifications, which have no id.
            _ => (Value::Null, Err((-32600, "send an object with an id"))),
        },
        Err(_) => (Value::Null, Err((-32700, "send JSON"))),
    };
    let answer = match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, text)) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": text } }),
    };
    answer.to_string()
}

/// Does what a request asks for. Replace it by your own methods. They may block.
fn perform(request: &Value) -> Result<Value, Failure> {
    if request["jsonrpc"] != "2.0" {
        return Err((-32600, "this is JSON-RPC 2.0"));
    }
    let params = &request["params"];
    match request["method"].as_str() {
        Some("echo") => Ok(params.clone()),
        Some("factors") => match params.get(0).and_then(Value::as_u64) {
            Some(number) => Ok(json!(factorize(number))),
            None => Err((-32602, "params: [a whole number below 2^64]")),
        },
        _ => Err((-32601, "unknown method")),
    }
}

/// Returns the prime factors of a number. It is slow on purpose.
fn factorize(number: u64) -> Vec<u64> {
    let (mut rest, mut divisor, mut factors) = (number, 2, Vec::new());
    while rest / divisor >= divisor {
        if rest % divisor == 0 {
            rest /= divisor;
            factors.push(divisor);
        } else {
            divisor += 1;
        }
    }
    factors.push(rest);
    factors
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let mut config = Config::default();
    config.max_connections = Some(MAX_CLIENTS);
    config.limits.max_message = MAX_REQUEST;
    let server = Server::new(config)?.listen(address)?;
    println!("listening on {}", server.local_addrs()[0]);

    let (jobs, waiting) = sync_channel(MAX_CLIENTS * MAX_IN_FLIGHT);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..WORKERS {
        let (waiting, remote) = (Arc::clone(&waiting), server.remote());
        thread::spawn(move || work(&waiting, &remote));
    }
    server.run(Rpc { jobs })
}
