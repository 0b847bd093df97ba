//! A server that stops gradually: it closes its clients over two seconds, not all at once.
//!
//! If a thousand clients lose their server at the same moment, they all reconnect at the same
//! moment. So Ctrl-C (or SIGTERM) starts a drain:
//!
//! * `/ready` returns 503, so that a load balancer sends no more clients.
//! * New WebSockets are refused.
//! * The Close frames are spread over two seconds.
//! * The program ends when the last client has disconnected, or at the deadline.
//!
//! A second Ctrl-C ends the program at once.
//!
//! ```text
//! cargo run --example drain [ADDRESS]
//! curl -i http://127.0.0.1:9998/ready
//! ```

use lariat::http::StatusCode;
use lariat::{Answer, ClientId, Clients, CloseCode, Drain, Handler, Message, Request, Server, Upgrade};
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    type Data = ();

    /// Answers plain HTTP on the same port, also during the drain.
    fn on_request(&mut self, clients: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ready" if clients.is_shutting_down() => StatusCode::SERVICE_UNAVAILABLE.into(),
            "/ready" => StatusCode::OK.into(),
            // During the drain, Lariat itself refuses upgrades with 503.
            _ => Upgrade::new().into(),
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        // An error says that the client is closing. `on_close` follows.
        let _ = clients.send(id, message);
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    // 1012 tells a client that it may reconnect. The default 1001 says that the server goes away.
    let drain = Drain::default()
        .over(Duration::from_secs(2))
        .code(CloseCode::Restart)
        .reason("a new version starts")
        .deadline(Duration::from_secs(10));
    let server = Server::bind(address)?.shutdown_on_signals(drain)?;
    println!("listening on {}", server.local_addrs()[0]);
    let outcome = server.start(Echo)?.run()?;
    println!("stopped; {} clients did not answer the Close", outcome.dropped);
    Ok(())
}
