//! Runs Lariat inside tokio: one task turns the `EventLoop`, beside the host's other tasks.
//!
//! Each message is a question, which an async function answers. The host's own work is a UDP
//! socket: each datagram goes to all clients.
//!
//! ```text
//! cargo run --example tokio_host [ADDRESS] [UDP-ADDRESS]
//! echo hello | nc -u -w1 127.0.0.1 9999
//! ```
//!
//! Type this into a browser's console:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("why?")
//! ```

use lariat::{ClientId, Clients, EventLoop, Handler, Message, Outcome, Remote, RemoteError, Server};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// The task that works for a client. Lariat drops the data with the client, and that ends the task.
#[derive(Default)]
struct Task(Option<AbortHandle>);

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

struct Questions {
    remote: Remote<Task>,
}

impl Handler for Questions {
    type Data = Task;

    fn on_message(&mut self, clients: &mut Clients<Task>, id: ClientId, message: Message<'_>) {
        let question = message.as_text().unwrap_or_default().to_owned();
        // The client is not read until it has its answer. So there is one task for each client at
        // most, and the answers have the order of the questions.
        clients.pause(id);
        let remote = self.remote.clone();
        let task = tokio::spawn(async move {
            let mut result = remote.run(reply(id, answer(&question).await));
            while let Err(refused) = result {
                if refused.error != RemoteError::Full {
                    return;
                }
                // The loop is far behind. The error has given the call back.
                sleep(Duration::from_millis(1)).await;
                result = remote.run(refused.call);
            }
        });
        if let Some(data) = clients.data_mut(id) {
            *data = Task(Some(task.abort_handle()));
        }
    }
}

/// Stands for what a host awaits: a database, another server.
async fn answer(question: &str) -> String {
    sleep(Duration::from_millis(20)).await;
    format!("{question} Because.")
}

/// Returns a call that runs in the loop.
fn reply(id: ClientId, answer: String) -> impl FnOnce(&mut Clients<Task>) {
    move |clients| {
        // An error says that the client is closing. `on_close` follows.
        let _ = clients.send(id, &answer);
        clients.resume(id);
    }
}

/// Turns the loop until the server has stopped. It is not `Send`, so it runs in `block_on` or in a
/// `LocalSet`.
async fn drive<H: Handler>(mut event_loop: EventLoop<H>) -> io::Result<Outcome> {
    // All of Lariat is one descriptor, independent of the number of clients. This is a duplicate,
    // which tokio may own.
    let descriptor = event_loop.as_fd().try_clone_to_owned()?;
    #[allow(deprecated, reason = "what replaces it is `unsafe`, and an `OwnedFd` stays open as long as this exists")]
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
    loop {
        if let Some(outcome) = event_loop.outcome() {
            return Ok(outcome);
        }
        // tokio is edge-triggered. While Lariat has unfinished work, its timeout is zero. Ask
        // before each wait.
        match event_loop.timeout() {
            // The other tasks have their turn.
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            Some(limit) => {
                if let Ok(ready) = timeout(limit, descriptor.readable()).await {
                    ready?.clear_ready();
                }
            }
            None => descriptor.readable().await?.clear_ready(),
        }
        // The timeout is zero, because tokio has already waited.
        event_loop.turn(Some(Duration::ZERO))?;
    }
}

/// Passes datagrams to all clients, as a task of its own.
async fn pass_on(socket: UdpSocket, remote: Remote<Task>) {
    let mut datagram = [0; 1_500];
    loop {
        let length = match socket.recv(&mut datagram).await {
            Ok(length) => length,
            Err(error) => return eprintln!("datagrams: {error}"),
        };
        let text = String::from_utf8_lossy(&datagram[..length]).trim_end().to_owned();
        let call = move |clients: &mut Clients<Task>| {
            clients.broadcast(&text);
        };
        // Datagrams may be lost. This one is, if too many calls wait for the loop.
        if remote.run(call).is_err_and(|refused| refused.error == RemoteError::Stopped) {
            return;
        }
    }
}

async fn serve(address: String, udp: String) -> io::Result<Outcome> {
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    let datagrams = UdpSocket::bind(udp).await?;
    println!("datagrams to {}", datagrams.local_addr()?);
    let remote = server.remote();
    tokio::spawn(pass_on(datagrams, remote.clone()));
    drive(server.start(Questions { remote })?).await
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let udp = arguments.next().unwrap_or_else(|| "127.0.0.1:9999".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(address, udp))?;
    Ok(())
}
