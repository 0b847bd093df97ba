//! A server that is told to stop says goodbye to everybody, and not to all at once.
//!
//! If a thousand clients lose their server in one moment, they all come to its successor in the
//! next. So Ctrl-C (or a SIGTERM) starts a drain: `/ready` says 503, so that a load balancer sends
//! nobody else; newcomers are refused; the Close frames are spread over two seconds; the program
//! ends when the last client has gone, or at the deadline. A second Ctrl-C does not wait.
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

    /// Plain HTTP is answered on the same port, during the drain as well.
    fn on_request(&mut self, clients: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ready" if clients.is_shutting_down() => StatusCode::SERVICE_UNAVAILABLE.into(),
            "/ready" => StatusCode::OK.into(),
            // During the drain the server refuses upgrades with 503 by itself.
            _ => Upgrade::new().into(),
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let drain = Drain {
        over: Duration::from_secs(2),
        // 1012 tells a client that it may come back; the default, 1001, that the server goes away.
        code: CloseCode::Restart,
        reason: "a new version starts".to_owned(),
        deadline: Duration::from_secs(10),
    };
    let server = Server::bind(address)?.shutdown_on_signals(drain)?;
    println!("listening on {}", server.local_addrs()[0]);
    let outcome = server.start(Echo)?.run()?;
    println!("stopped; {} did not say goodbye", outcome.dropped);
    Ok(())
}
