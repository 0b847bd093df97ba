//! fastwebsockets with hyper on one thread, as in its examples. Its socket alternates between reads
//! and writes, so a broadcast is not natural.

use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

async fn echo(upgrade: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgrade.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgrade) = upgrade::upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(echo(upgrade)));
    Ok(response)
}

fn main() -> std::io::Result<()> {
    let (runtime, listener) = peers::tokio_listen()?;
    runtime.block_on(async {
        loop {
            let (stream, _) = listener.accept().await?;
            let serve =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades();
            tokio::spawn(serve);
        }
    })
}
